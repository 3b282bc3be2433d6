"""Embeddings as Parquet parts: shared by jobs, started again, and the same as in an .npz file."""

import contextlib
import json
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
from helpers.untrained_run import make_run

import jreid
from jreid.__main__ import main
from jreid.errors import InputError
from jreid.evaluation.results.feature_file import read_features, read_origin
from jreid.evaluation.results.parquet import read_about
from jreid.find import Trust
from jreid.progress import silent
from jreid.runs import embed_parts
from jreid.runs.embed import embed_split
from jreid.runs.embed_parts import Images, Share, read_share, write_parts
from jreid.runs.run import Run

pytest.importorskip("pyarrow")
NUMBER = 7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def photos(tmp_path):
    for number in range(NUMBER):
        paint(tmp_path / f"photos/{number // 3}/{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(embed_parts, "PART_IMAGES", 3)


def paint(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def embed(run, photos, output, *flags):
    images = [f"--images={photos}", "--modality=visible", f"--output={output}"]
    return main(["embed", f"--workdir={run}", "--trust-code", *images, *flags])


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
    assert about["image_size"] == [32, 16] and about["normalized"] is False
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


def test_half_the_bytes(run, photos, tmp_path, capsys):
    assert embed(run, photos, tmp_path / "a.parquet") == 0
    assert embed(run, photos, tmp_path / "b.parquet", "--dtype=float16") == 0
    a, b = (jreid.load_features(tmp_path / f"{name}.parquet") for name in "ab")
    np.testing.assert_array_equal(b.features, a.features.astype(np.float16))
    assert embed(run, photos, tmp_path / "a.parquet", "--dtype=float16") == 2
    assert "another dtype (float32, here float16)" in capsys.readouterr().err


def test_parts_of_another_model_are_not_replaced(run, photos, tmp_path, capsys):
    other = make_run(tmp_path / "other", "--config.seed=1")
    folder = tmp_path / "g.parquet"
    assert embed(run, photos, folder) == 0
    before = times(folder)
    assert embed(other, photos, folder) == 2
    assert "another model" in capsys.readouterr().err and times(folder) == before
    (folder / "part-000001.parquet").write_bytes(b"damaged")
    assert embed(run, photos, folder) == 2
    assert "part-000001.parquet" in capsys.readouterr().err


def test_an_image_that_is_none_stops_the_job_and_parts_before_stay(run, photos, tmp_path, capsys):
    (photos / "2/6.png").write_bytes(b"no image")
    folder = tmp_path / "g.parquet"
    assert embed(run, photos, folder) == 2
    assert "2/6.png" in capsys.readouterr().err
    assert [*times(folder)] and "part-000002.parquet" not in times(folder)
    paint(photos / "2/6.png", 6)
    assert embed(run, photos, folder) == 0
    assert counted(capsys) == (1, 2)


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


def embed_made_up(folder, names, number):
    """Writes one of two shares of embeddings that no model has made; returns what was embedded."""
    embedded = []

    def made_up(rows, _):
        embedded.extend(names[rows])
        return names[rows], np.ones((len(names[rows]), 2), np.float32)

    columns = {"identities": [None] * len(names), "cameras": [None] * len(names)}
    images = Images(names, columns | {"modalities": names}, lambda rows: names[rows], made_up)
    about = {"model": "", "extraction": {}, "modality": "visible"}
    with contextlib.suppress(InputError):
        write_parts(folder, images, about, Share(number, 2))
    return embedded


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


def test_a_split_has_the_labels_and_the_origin_of_its_npz_file(run, tiny_dataset, tmp_path):
    there, files = Run(run), [tmp_path / "test.npz", tmp_path / "test.parquet"]
    Trust.given = True
    try:
        config = there.config()
    finally:
        Trust.given = False
    whole, parts = (
        embed_split(config, there, "last", tiny_dataset, "test", file, {"other_data": True}, *share)
        for file, share in zip(files, ((), (silent, Share())), strict=True)
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
