"""Embeddings as Parquet parts: shared by jobs, started again, and the same as in an .npz file."""

import contextlib
import importlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import PIL.Image
import pytest
from helpers.paths import ROOT
from helpers.together import environment
from helpers.untrained_run import make_run

import jreid
from jreid.__main__ import main
from jreid.data import images as images_module
from jreid.errors import InputError
from jreid.evaluation.results import parquet
from jreid.evaluation.results.feature_file import read_features, read_origin
from jreid.evaluation.results.parquet import read_about
from jreid.find import Trust
from jreid.progress import silent
from jreid.runs import embed as embed_module
from jreid.runs import embed_parts
from jreid.runs.chosen import model_id
from jreid.runs.embed import embed_split
from jreid.runs.embed_parts import Images, Share, read_share, write_parts
from jreid.runs.run import Run

pytest.importorskip("pyarrow")
NUMBER, PART_IMAGES = 7, 3
ABOUT = {"model": "", "extraction": {}, "modality": "visible"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def photos(tmp_path):
    for number in range(NUMBER):
        paint(tmp_path / f"photos/{number // 3}/{number}.png", number)
    return tmp_path / "photos"


def paint(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def embed(run, photos, output, *flags):
    return main(["embed", *words(run, photos, output), *flags])


def words(run, photos, output):
    size = [f"--part-images={PART_IMAGES}"] if output.suffix == ".parquet" else []
    images = [f"--images={photos}", "--modality=visible", f"--output={output}"]
    return [f"--workdir={run}", "--trust-code", *images, *size]


def counted(capsys):
    """The numbers of parts written and kept in what was printed."""
    *_, line = capsys.readouterr().out.splitlines()
    words = line.split()
    return int(words[words.index("wrote") + 1]), int(words[words.index("kept") + 1])


def times(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_shares_are_one_whole_and_are_started_again(run, photos, tmp_path, capsys):
    assert embed(run, photos, tmp_path / "whole.npz") == 0
    folder = tmp_path / "g.parquet"
    assert embed(run, photos, folder, "--shard=1/2") == 0
    assert counted(capsys) == (1, 0)
    with pytest.raises(InputError, match=r"1 of its 3 parts.*part-000000\.parquet"):
        jreid.load_features(folder)
    assert embed(run, photos, folder, "--shard=0/2") == 0
    assert counted(capsys) == (2, 0)
    before = times(folder)
    assert embed(run, photos, folder) == 0
    assert counted(capsys) == (0, 3) and times(folder) == before
    whole, parts = jreid.load_features(tmp_path / "whole.npz"), jreid.load_features(folder)
    assert parts.names.tolist() == whole.names.tolist() == [f"{n // 3}/{n}" for n in range(NUMBER)]
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-5)
    assert parts.modalities is not None and {*parts.modalities} == {"visible"}
    assert parts.identities is None and parts.digests is not None
    about = read_about(folder / "part-000002.parquet")
    assert (about["part"], about["parts"], about["images"]) == (2, 3, NUMBER)
    assert about["image_size"] == [32, 16] and about["part_images"] == PART_IMAGES
    assert about["distance"] == "cosine" and about["normalized"] is False
    assert len(about["run"]) == len(about["config_hash"]) == len(about["model"]) == 64
    assert about["checkpoint"]["checkpoint"] == "last" and about["jreid"] == jreid.__version__


def test_only_parts_of_other_images_are_embedded_again(run, photos, tmp_path, capsys):
    folder = tmp_path / "g.parquet"
    assert embed(run, photos, folder) == 0
    first = jreid.load_features(folder)
    paint(photos / "1/4.png", 100)
    assert embed(run, photos, folder) == 0
    assert counted(capsys) == (1, 2)
    changed = jreid.load_features(folder)
    same = (first.features == changed.features).all(axis=1)
    assert (~same).nonzero()[0].tolist() == [4]
    # One more image at the end: the other parts only say that there are more.
    paint(photos / "9/1.png", 101)
    assert embed(run, photos, folder) == 0
    assert counted(capsys) == (1, 2)
    grown = jreid.load_features(folder)
    assert len(grown.features) == NUMBER + 1
    np.testing.assert_array_equal(grown.features[:6], changed.features[:6])
    shutil.rmtree(photos / "9")
    shutil.rmtree(photos / "2")
    assert embed(run, photos, folder) == 0
    with pytest.raises(InputError, match=r"part-000002.*do not belong together"):
        jreid.load_features(folder)


def test_the_columns_and_half_the_bytes(run, photos, tmp_path, capsys):
    assert embed(run, photos, tmp_path / "a.parquet") == 0
    assert embed(run, photos, tmp_path / "b.parquet", "--dtype=float16") == 0
    a, b = (jreid.load_features(tmp_path / f"{name}.parquet") for name in "ab")
    np.testing.assert_array_equal(b.features, a.features.astype(np.float16))
    assert embed(run, photos, tmp_path / "a.parquet", "--dtype=float16") == 2
    assert "another dtype (float32, here float16)" in capsys.readouterr().err
    for name, kind in (("a", "float"), ("b", "halffloat")):
        file = tmp_path / f"{name}.parquet" / "part-000000.parquet"
        schema = importlib.import_module("pyarrow.parquet").read_schema(file)
        types = {field.name: str(field.type).replace("element", "item") for field in schema}
        assert types.pop("embedding") == f"fixed_size_list<item: {kind}>[16]"
        assert types.pop("identity") == types.pop("camera") == "int64"
        assert types == dict.fromkeys(("name", "modality", "sha256"), "string")


def test_parts_of_another_model_are_not_replaced(run, photos, tmp_path, capsys):
    other = make_run(tmp_path / "other", "--config.seed=1")
    folder = tmp_path / "g.parquet"
    assert embed(run, photos, folder) == 0
    before = times(folder)
    assert embed(other, photos, folder) == 2
    assert "another model" in capsys.readouterr().err and times(folder) == before
    # Nor are they joined by a job whose own part is not there.
    (folder / "part-000001.parquet").unlink()
    assert embed(other, photos, folder, "--shard=1/3") == 2
    assert "part-000000.parquet has embeddings with another model" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--dtype=float16", "--part-images=2"])
def test_parts_with_other_options_are_not_joined(run, photos, tmp_path, flag, capsys):
    folder, other = tmp_path / "g.parquet", tmp_path / "h.parquet"
    assert embed(run, photos, folder, "--shard=0/2") == 0
    assert embed(run, photos, folder, "--shard=1/2", flag) == 2
    name = flag[2:].split("=")[0].replace("-", "_")
    assert f"another {name}" in capsys.readouterr().err
    # Two jobs that begin at the same time do not see each other's parts.
    assert embed(run, photos, other, "--shard=1/2", flag) == 0
    (other / "part-000001.parquet").rename(folder / "part-000001.parquet")
    with pytest.raises(InputError, match=f"part-000001.*do not belong together: {name}"):
        jreid.load_features(folder)


DAMAGES = {
    "empty": lambda content, _: b"",
    "cut": lambda content, _: content[:-100],
    "a flipped bit of an embedding": lambda content, values: flip(content, content.index(values)),
    "a flipped bit of the footer's size": lambda content, _: flip(content, len(content) - 6),
}


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_embedded_again(run, photos, tmp_path, damage, capsys):
    folder, part = tmp_path / "g.parquet", tmp_path / "g.parquet" / "part-000001.parquet"
    assert embed(run, photos, folder) == 0
    before = jreid.load_features(folder)
    part.write_bytes(DAMAGES[damage](part.read_bytes(), before.features[4].tobytes()))
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        jreid.load_features(folder)
    capsys.readouterr()
    assert embed(run, photos, folder) == 0
    out, err = capsys.readouterr()
    assert "wrote 1 and kept 2" in out and "part-000001.parquet is damaged" in err
    np.testing.assert_array_equal(jreid.load_features(folder).features, before.features)


def test_a_part_of_another_version_of_jreid_stays(run, photos, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "g.parquet"
    with monkeypatch.context() as later:
        later.setattr(parquet, "VERSION", 2)
        assert embed(run, photos, folder) == 0
    before = times(folder)
    assert embed(run, photos, folder) == 2
    assert "another version of jreid" in capsys.readouterr().err and times(folder) == before


def test_a_kept_part_says_what_computed_it(run, photos, tmp_path, monkeypatch):
    folder = tmp_path / "g.parquet"
    with monkeypatch.context() as earlier:
        earlier.setattr(jreid, "__version__", "0.0.1")
        assert embed(run, photos, folder) == 0
    before = times(folder)
    assert embed(run, photos, folder) == 0 and times(folder) == before
    paint(photos / "9/1.png", 100)
    assert embed(run, photos, folder) == 0
    abouts = [read_about(file) for file in sorted(folder.iterdir())]
    assert [about["jreid"] for about in abouts] == ["0.0.1", "0.0.1", jreid.__version__]
    assert [about["images"] for about in abouts] == [NUMBER + 1] * 3
    assert len(jreid.load_features(folder).names) == NUMBER + 1


def test_more_jobs_than_parts(run, photos, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "g.parquet"
    with monkeypatch.context() as without_model:
        without_model.delattr("jreid.runs.embed.Model")
        assert embed(run, photos, folder, "--shard=7/8") == 0
    out, err = capsys.readouterr()
    assert "wrote 0 and kept 0" in out and not folder.exists()
    assert "7 images in parts of 3 are 3 parts, so only 3 of 8 jobs have work" in err
    for number in range(NUMBER):
        assert embed(run, photos, folder, f"--shard={number}/{NUMBER}", "--part-images=1") == 0
    assert "have work" not in capsys.readouterr().err
    assert len(jreid.load_features(folder).names) == NUMBER


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file.parquet", "file.parquet is a file, not a folder"),
        ("file.parquet/part.parquet", "file.parquet is a file, not a folder"),
        ("file.parquet/a.npz", "file.parquet is a file, not a folder"),
        ("folder.npz", "folder.npz is a folder; name a file"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_at_once(
    run, photos, tmp_path, output, message, capsys, monkeypatch
):
    (tmp_path / "file.parquet").touch()
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.delattr("jreid.runs.embed.read_folder")
    assert embed(run, photos, tmp_path / output) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_image_that_is_none_stops_the_job_and_parts_before_stay(run, photos, tmp_path, capsys):
    folder, of_a_part = tmp_path / "g.parquet", (3, 5)
    for number in of_a_part:
        (photos / f"1/{number}.png").write_bytes(b"no image")
    assert embed(run, photos, folder) == 2
    err = capsys.readouterr().err
    assert "1/3.png is not" in err and "1/5.png is not" in err
    for number in of_a_part:
        paint(photos / f"1/{number}.png", number)
    (photos / "2/6.png").write_bytes(b"no image")
    assert embed(run, photos, folder) == 2
    assert "2/6.png" in capsys.readouterr().err
    assert [*times(folder)] and "part-000002.parquet" not in times(folder)
    paint(photos / "2/6.png", 6)
    assert embed(run, photos, folder) == 0
    assert counted(capsys) == (1, 2)


@pytest.mark.parametrize("change", ["other", "damaged", "gone"])
def test_an_image_that_changes_before_it_is_embedded_is_named(
    run, photos, tmp_path, capsys, monkeypatch, change
):
    check, image = embed_module._check, photos / "1/4.png"

    def and_change(*arguments):
        digests = check(*arguments)
        if change == "other":
            paint(image, 40)
        elif change == "damaged":
            image.write_bytes(b"no image")
        else:
            image.unlink()
        return digests

    monkeypatch.setattr(embed_module, "_check", and_change)
    assert embed(run, photos, tmp_path / "x.npz") == 2
    assert "1/4.png changed meanwhile: give the command again" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


def test_images_are_not_in_memory_together(run, tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, "READ_AT_ONCE", 8)
    (tmp_path / "photos").mkdir()
    for number in range(100):
        PIL.Image.new("RGB", (512, 256)).save(tmp_path / f"photos/{number}.bmp")
    tracemalloc.start()
    assert embed(run, tmp_path / "photos", tmp_path / "x.npz") == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 512 * 256 * 3


def test_search_reads_parts_as_an_index(run, photos, tmp_path, capsys):
    folder, query = tmp_path / "g.parquet", photos / "0/1.png"
    assert embed(run, photos, folder) == 0
    search = ["search", f"--workdir={run}", "--trust-code", f"--query={query}", "--top=2"]
    search += ["--modality=visible", f"--index={folder}"]
    capsys.readouterr()
    assert main(search) == 0
    assert "0/1" in capsys.readouterr().out.splitlines()[1]
    page = tmp_path / "hits.html"
    assert main([*search, f"--gallery={photos}", f"--html={page}"]) == 0
    assert page.stat().st_size > 1000
    for flags, message in (
        (["--gallery-modality=infrared"], "holds visible images, not infrared"),
        ([f"--html={page}"], "--gallery is missing"),
        ([f"--gallery={photos / '0'}"], "lacks 7 of the 7 images"),
    ):
        assert main([*search, *flags]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    other = make_run(tmp_path / "other", "--config.seed=1")
    assert main([*search, f"--workdir={other}"]) == 2
    assert "another model" in capsys.readouterr().err


def made_up(names, embedded=lambda rows: None):
    """Images whose embeddings no model has made; calls `embedded` with the rows of each part."""

    def embed(rows, _):
        embedded(rows)
        return names[rows], np.ones((len(names[rows]), 2), np.float32)

    columns = {"identities": [None] * len(names), "cameras": [None] * len(names)}
    return Images(names, columns | {"modalities": names}, lambda rows: names[rows], embed)


def embed_made_up(folder, names, number):
    """Writes one of two shares of made-up embeddings; returns what was embedded."""
    embedded = []
    images = made_up(names, lambda rows: embedded.extend(names[rows]))
    with contextlib.suppress(InputError):
        write_parts(folder, images, ABOUT, Share(number, 2, part_images=PART_IMAGES))
    return embedded


def test_a_part_is_written_while_the_next_one_is_embedded(tmp_path, monkeypatch):
    second, written = threading.Event(), []

    def write(file, *part):
        assert second.wait(60)
        parquet.write_part(file, *part)
        written.append(file.name)

    monkeypatch.setattr(embed_parts, "write_part", write)
    images = made_up([*"abcdefg"], lambda rows: second.set() if rows.start else None)
    write_parts(tmp_path / "g.parquet", images, ABOUT, Share(part_images=PART_IMAGES))
    assert written == [f"part-00000{number}.parquet" for number in range(3)]
    assert jreid.load_features(tmp_path / "g.parquet").names.tolist() == [*"abcdefg"]


@pytest.mark.parametrize("names", ["a", "abcdefg"])
def test_a_part_that_cannot_be_written_ends_the_job(tmp_path, names, monkeypatch):
    def write(file, *_):
        raise InputError(f"{file} cannot be written")

    monkeypatch.setattr(embed_parts, "write_part", write)
    with pytest.raises(InputError, match=r"part-000000\.parquet cannot be written"):
        write_parts(tmp_path / "g.parquet", made_up([*names]), ABOUT, Share(part_images=3))


def test_parts_of_as_many_other_images_are_no_whole(tmp_path):
    assert embed_made_up(tmp_path / "g.parquet", ["a", "b", "c", "d"], 0) == ["a", "b", "c"]
    # Meanwhile a is removed, and e is added: b to d and e would be the parts of a whole.
    assert embed_made_up(tmp_path / "g.parquet", ["b", "c", "d", "e"], 1) == ["e"]
    with pytest.raises(InputError, match=r"do not belong together: names"):
        jreid.load_features(tmp_path / "g.parquet")
    assert embed_made_up(tmp_path / "g.parquet", ["b", "c", "d", "e"], 0) == ["b", "c", "d"]
    assert jreid.load_features(tmp_path / "g.parquet").names.tolist() == ["b", "c", "d", "e"]


def test_nothing_is_embedded_where_it_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert embed_made_up(tmp_path / "g.parquet", ["a", "b"], 0) == []


@pytest.mark.parametrize("text", ["8/8", "1", "-1/2", "0/0", "a/b", "1/2/3"])
def test_shares_that_do_not_exist(text):
    with pytest.raises(InputError, match="0/8, 1/8"):
        read_share(text, None)


@pytest.mark.parametrize("flag", ["--shard=0/2", "--dtype=float16"])
def test_flags_of_parts_need_parts(run, photos, tmp_path, flag, capsys):
    assert embed(run, photos, tmp_path / "g.npz", flag) == 2
    assert flag.split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1"])
def test_a_part_has_images(run, photos, tmp_path, text, capsys):
    assert embed(run, photos, tmp_path / "g.parquet", f"--part-images={text}") == 2
    assert f"--part-images={text} is not a number of images" in capsys.readouterr().err


@pytest.fixture
def config(run, monkeypatch):
    monkeypatch.setattr(Trust, "given", True)
    return Run(run).config()


def test_a_split_has_the_labels_and_the_origin_of_its_npz_file(run, config, tiny_dataset, tmp_path):
    there, files = Run(run), [tmp_path / "test.npz", tmp_path / "test.parquet"]
    whole, parts = (
        embed_split(config, there, "last", tiny_dataset, "test", file, {"other_data": True}, *share)
        for file, share in zip(files, ((), (silent, Share(part_images=3))), strict=True)
    )
    assert whole.images == parts.images == parts.parts * 3 - (-parts.images) % 3
    (a, table), (b, same) = map(read_features, files)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for one, other in zip(table, same, strict=True):
        np.testing.assert_array_equal(one, other)
    origins = [read_origin(file, table) for file in files]
    assert origins[0] == json.loads(json.dumps(origins[1]))
    assert origins[1]["row"]["other_data"] is True
    changed = table._replace(camera=table.camera + 1)
    assert read_origin(files[1], changed)["row"]["partial"] is True


def test_features_extracted_otherwise_are_of_another_model(run, config):
    variables = {"params": {"kernel": np.ones(2, np.float32)}}
    own = model_id(Run(run), variables, config)
    with config.unlocked():
        config.evaluation.batch_size += 1
        assert model_id(Run(run), variables, config) == own
        config.evaluation.flip = not config.evaluation.flip
        assert model_id(Run(run), variables, config) != own


def test_shares_of_other_extraction_or_data_are_no_whole(run, config, tiny_dataset, tmp_path):
    folder = tmp_path / "test.parquet"

    def embed(number, marks, flip=False):
        with config.unlocked():
            config.evaluation.flip = flip
        share = Share(number, 2, part_images=30)
        of_split = (config, Run(run), "last", tiny_dataset, "test")
        embed_split(*of_split, folder, marks, silent, share)

    embed(0, {})
    with pytest.raises(
        InputError, match=r"another extraction\.evaluation\.flip \(False, here True"
    ):
        embed(1, {}, flip=True)
    embed(1, {"other_data": True})
    with pytest.raises(InputError, match=r"do not belong together: origin\.row\.other_data"):
        jreid.load_features(folder)
    embed(1, {})
    assert read_origin(folder, read_features(folder)[1])["row"]["checkpoint"] == "last"


@pytest.mark.slow  # four processes that load JAX
def test_an_embedding_that_is_killed_goes_on(run, tmp_path, capsys):
    photos, folder = tmp_path / "photos", tmp_path / "g.parquet"
    for number in range(60):
        paint(photos / f"{number:02d}.png", number)
    command = [sys.executable, "-m", "jreid", "embed", *words(run, photos, folder)]
    for parts in (3, 9, 15):
        process = subprocess.Popen(
            [*command, "--part-images=1"], cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL
        )
        while len([*folder.glob("*.parquet")]) < parts and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    there = len([*folder.glob("*.parquet")])
    assert embed(run, photos, folder, "--part-images=1") == 0
    assert counted(capsys) == (60 - there, there)
    assert sorted(times(folder)) == [f"part-{number:06d}.parquet" for number in range(60)]
    assert embed(run, photos, tmp_path / "whole.npz") == 0
    parts, whole = (jreid.load_features(tmp_path / name) for name in ("g.parquet", "whole.npz"))
    assert parts.names.tolist() == whole.names.tolist()
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-5, atol=1e-6)
