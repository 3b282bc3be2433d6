"""`jreid search --index` with embeddings in every format, and with images that changed since."""

import csv
import hashlib
import json

import numpy as np
import PIL.Image
import pytest
from helpers.untrained_run import make_run
from safetensors.numpy import save_file

import jreid
from jreid.__main__ import main
from jreid.data.forms import to_decodable
from jreid.errors import InputError
from jreid.find import Trust
from jreid.progress import silent
from jreid.retrieval.gallery_images import refuse_changed
from jreid.runs.embed import embed_split
from jreid.runs.embed_parts import Share
from jreid.runs.run import Run

pytest.importorskip("pyarrow")
NAMES = ("a/1.png", "a/2.jpg", "a/2.png", "b.png", "c.bmp")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "other", "--config.seed=1")


@pytest.fixture
def photos(tmp_path):
    for seed, name in enumerate(NAMES):
        paint(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


def paint(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def embedded(run, photos, output):
    """What `jreid embed` writes, or its arrays as another program would save them."""
    wanted = output if output.suffix in (".npz", ".parquet") else output.with_suffix(".npz")
    images = [f"--images={photos}", "--modality=visible", f"--output={wanted}"]
    assert main(["embed", f"--workdir={run}", "--trust-code", *images]) == 0
    return wanted


def own_index(run, photos, output):
    jreid.load(run, trust_code=True).index(photos, output)


def one_part(run, photos, output):
    (part,) = embedded(run, photos, output.with_name("parts.parquet")).iterdir()
    part.rename(output)


def npy(run, photos, output):
    """Unit vectors, in another order, as float64."""
    loaded = jreid.load_features(embedded(run, photos, output))
    features = loaded.features.astype(np.float64)[::-1]
    np.save(output, features / np.linalg.norm(features, axis=1, keepdims=True))
    with output.with_suffix(".csv").open("w", newline="") as file:
        rows = [["name"], *([name] for name in loaded.names[::-1])]
        csv.writer(file).writerows(rows)


def safetensors(run, photos, output):
    loaded = jreid.load_features(embedded(run, photos, output))
    save_file({"features": loaded.features}, output, {"names": json.dumps(loaded.names.tolist())})


def safetensors_with_model(run, photos, output):
    with np.load(embedded(run, photos, output)) as arrays:
        texts = {name: json.dumps(arrays[name].tolist()) for name in ("names", "digests", "model")}
        save_file({"features": arrays["features"]}, output, texts)


def as_ray_writes(run, photos, output):
    """Parts with names and embeddings, and without metadata, as of examples/embed_with_ray.py."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    loaded = jreid.load_features(embedded(run, photos, output.with_suffix(".npz")))
    output.mkdir()
    for part, rows in enumerate((slice(0, 2), slice(2, None))):
        features = loaded.features[rows]
        lists = pa.FixedSizeListArray.from_arrays(features.reshape(-1), features.shape[1])
        table = pa.table({"name": loaded.names[rows], "embedding": lists})
        parquet.write_table(table, output / f"{part}_000000.parquet")


CHECKED = {
    "index.npz": own_index,
    "embedded.npz": embedded,
    "embedded.parquet": embedded,
    "part.parquet": one_part,
    "model.safetensors": safetensors_with_model,
}
UNCHECKED = {"a.npy": npy, "a.safetensors": safetensors, "ray.parquet": as_ray_writes}
FORMATS = CHECKED | UNCHECKED


def search(run, photos, capsys, *flags):
    """The hits of a photo, what is said on standard error, and the status."""
    capsys.readouterr()
    query = [f"--query={photos / 'a/2.png'}", "--modality=visible"]
    status = main(["search", f"--workdir={run}", "--trust-code", "--json", *query, *flags])
    printed = capsys.readouterr()
    hits = json.loads(printed.out)["queries"][0]["hits"] if printed.out else []
    return hits, printed.err, status


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_ranking_of_the_folder(name, run, photos, tmp_path, capsys):
    wanted, _, _ = search(run, photos, capsys, f"--gallery={photos}")
    file = tmp_path / name
    FORMATS[name](run, photos, file)
    for flags in ([], [f"--gallery={photos}", f"--html={tmp_path / 'x.html'}"]):
        hits, err, status = search(run, photos, capsys, f"--index={file}", *flags)
        assert status == 0, err
        # `jreid embed` leaves out suffixes, but those of images that would have the same name.
        for hit, same in zip(hits, wanted, strict=True):
            assert same["name"] in (hit["name"], f"{hit['name']}.png", f"{hit['name']}.bmp")
            assert hit["similarity"] == pytest.approx(same["similarity"], abs=1e-5)
        if name in CHECKED:
            assert not err
        else:
            assert err.count("\n") == 1 and f"{file} does not record its model" in err
            assert "jreid cannot check that this run made it" in err
    assert (tmp_path / "x.html").read_text().count("data:image/jpeg") == 6


@pytest.mark.parametrize("name", CHECKED)
def test_embeddings_of_another_model_are_refused(name, run, other_run, photos, tmp_path, capsys):
    file = tmp_path / name
    CHECKED[name](other_run, photos, file)
    before = file.read_bytes() if file.is_file() else None
    for flags in ([], [f"--gallery={photos}"]):
        _, err, status = search(run, photos, capsys, f"--index={file}", *flags)
        assert status == 2 and f"{file} holds the embeddings of another model" in err
    assert before == (file.read_bytes() if file.is_file() else None)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.safetensors"])
def test_embeddings_that_cannot_be_compared_are_refused(name, run, photos, tmp_path, capsys):
    file = tmp_path / name
    for features, message in (
        (np.ones((5, 3), np.float32), "16 dimensions, and the gallery's have 3"),
        (np.full((5, 16), np.nan, np.float32), f"{file} holds embeddings that are not finite"),
        (np.ones(5, np.float32), f"{file}: features is float32[5]"),
    ):
        if file.suffix == ".npz":
            np.savez(file, features=features, names=np.array(NAMES))
        elif file.suffix == ".npy":
            np.save(file, features)
            file.with_suffix(".csv").write_text("\n".join(("name", *NAMES)))
        else:
            save_file({"features": features}, file, {"names": json.dumps(NAMES)})
        _, err, status = search(run, photos, capsys, f"--index={file}")
        assert status == 2 and message in err.splitlines()[-1]


def test_an_npz_file_without_embeddings_is_not_taken_for_a_damaged_index(
    run, photos, tmp_path, capsys
):
    np.savez(tmp_path / "a.npz", vectors=np.ones((5, 16)), names=np.array(NAMES))
    _, err, status = search(run, photos, capsys, f"--index={tmp_path / 'a.npz'}")
    assert status == 2 and "a.npz has no array features; save it" in err


@pytest.mark.parametrize("name", ["test.npz", "test.parquet"])
def test_of_a_split_only_the_gallerys_modality_is_searched(
    name, run, tiny_dataset, photos, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Trust, "given", True)
    share = [Share()] if name.endswith("parquet") else [None]
    of_run = (Run(run).config(), Run(run), "last", tiny_dataset, "test", tmp_path / name)
    embed_split(*of_run, {}, silent, *share)
    table = tiny_dataset.table.take(tiny_dataset.table.split == "test")
    model = jreid.load(run, trust_code=True)
    for modality in ("visible", "infrared"):
        some = table.take(table.modality == modality)
        flags = [f"--index={tmp_path / name}", f"--gallery-modality={modality}", "--top=1000"]
        hits, err, status = search(run, photos, capsys, *flags)
        assert status == 0 and not err
        assert {hit["name"] for hit in hits} == {*some.name.tolist()}
        loaded = jreid.load_features(tmp_path / name)
        features = loaded.features[loaded.modalities == modality]
        (found,) = model.search(photos / "a/2.png", features, modality="visible", top=1000)
        assert [hit["row"] for hit in hits] == [hit.row for hit in found]


def test_files_of_embed_are_only_read_and_say_their_modality(run, photos, tmp_path, capsys):
    file = tmp_path / "x.npz"
    embedded(run, photos, file)
    before = file.read_bytes()
    paint(photos / "new.png", 9)
    flags = [f"--index={file}", f"--gallery={photos}"]
    assert search(run, photos, capsys, *flags)[2] == 0
    _, err, status = search(run, photos, capsys, *flags, "--gallery-modality=infrared")
    assert status == 2 and "holds visible images, not infrared ones" in err
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_a_photo_that_was_replaced_is_refused_if_it_is_found(name, run, photos, tmp_path, capsys):
    file = tmp_path / name
    embedded(run, photos, file)
    flags = [f"--index={file}", f"--gallery={photos}"]
    hits, err, _ = search(run, photos, capsys, *flags)
    assert not err and hits[0]["name"] == "a/2.png"
    last = next(photos.glob(f"{hits[-1]['name']}.*"), photos / hits[-1]["name"])
    paint(last, 100)
    _, err, status = search(run, photos, capsys, *flags)
    assert status == 2
    assert f"{last} is no longer the image that {file} has the embedding of" in err
    assert err.count("\n") == 1 and "embed the folder again" in err
    assert search(run, photos, capsys, *flags, "--top=4")[2] == 0  # it is not found
    embedded(run, photos, file)
    assert search(run, photos, capsys, *flags)[2] == 0


@pytest.mark.parametrize("name", ["x.npz", "x.parquet"])
def test_photos_that_an_index_lacks_are_counted(name, run, photos, tmp_path, capsys):
    file = tmp_path / name
    embedded(run, photos, file)
    for number in (1, 2):
        paint(photos / f"new{number}.png", number)
    flags = [f"--index={file}", f"--gallery={photos}"]
    hits, err, status = search(run, photos, capsys, *flags)
    assert status == 0 and len(hits) == 5
    assert err.count("\n") == 1
    assert f"{photos} has 2 images that {file} lacks, first new1.png" in err
    (photos / "b.png").unlink()
    _, err, status = search(run, photos, capsys, *flags)
    assert status == 2 and f"lacks 1 of the 5 images in {file}, first b;" in err


def test_the_hash_of_a_prepared_image_is_of_what_was_made_of_its_file(tmp_path):
    """`jreid embed --split` has no other: a CMYK image is prepared as a BMP."""
    file, size = tmp_path / "a.jpg", (16, 32)
    PIL.Image.new("CMYK", size, (1, 2, 3, 4)).save(file)
    prepared = to_decodable(file.read_bytes()).content
    assert prepared != file.read_bytes()
    digests = [hashlib.sha256(prepared).hexdigest()]
    refuse_changed(tmp_path / "x.npz", [file], digests, (), [0])
    for change in (PIL.Image.new("CMYK", size).save, lambda file: file.unlink()):
        change(file)
        with pytest.raises(InputError, match=r"a\.jpg is no longer the image"):
            refuse_changed(tmp_path / "x.npz", [file], digests, (), [0])


def test_the_file_of_a_folder_has_the_hashes_of_its_images(run, photos, tmp_path):
    loaded = jreid.load_features(embedded(run, photos, tmp_path / "x.npz"))
    assert loaded.digests is not None
    files = (photos / name for name in NAMES)
    assert loaded.digests.tolist() == [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
