"""Features in every format, and as Parquet in parts: the same arrays, and one sentence if not."""

import shutil
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.feature_files import FORMATS, about_of, save_folder, save_parquet
from helpers.features import arrays_of
from helpers.oracle import make_table
from safetensors.numpy import save_file

from jreid.errors import InputError
from jreid.evaluation import load_features, read_features
from jreid.evaluation.results import memory
from jreid.evaluation.results.parquet import read_about, write_part

TABLE = make_table({(camera, identity): 2 for camera in (1, 3) for identity in (6, 10, 17)})
FEATURES = np.random.default_rng(0).normal(size=(len(TABLE.name), 4)).astype(np.float32)
ARRAYS = arrays_of(TABLE, FEATURES)
N = len(FEATURES)
ABOUT = about_of(ARRAYS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_arrays(tmp_path, name):
    order = np.random.default_rng(1).permutation(N)
    FORMATS[name](tmp_path / name, {key: array[order] for key, array in ARRAYS.items()})
    features, table = read_features(tmp_path / name)
    np.testing.assert_array_equal(features, FEATURES)
    for ours, theirs in zip(table, TABLE, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    loaded = load_features(str(tmp_path / name))
    np.testing.assert_array_equal(loaded.features, FEATURES[order])
    np.testing.assert_array_equal(loaded.names, TABLE.name[order])
    np.testing.assert_array_equal(loaded.identities, TABLE.identity[order])
    np.testing.assert_array_equal(loaded.modalities, TABLE.modality[order])
    assert (loaded.digests is not None) == name.endswith(".parquet")


@pytest.mark.parametrize("name", ["a.npz", "a.parquet"])
def test_labels_that_are_not_known_are_none(tmp_path, name):
    if name == "a.npz":
        np.savez(tmp_path / name, features=FEATURES, names=TABLE.name)
    else:
        unknown = [None, *TABLE.identity.tolist()[1:]]
        save_parquet(tmp_path / name, {**ARRAYS, "identities": unknown, "cameras": [None] * N})
    loaded = load_features(tmp_path / name)
    assert loaded.identities is None and loaded.cameras is None
    with pytest.raises(InputError, match=r"identit(y|ies)"):
        read_features(tmp_path / name)


def test_float16_is_read_as_float32(tmp_path):
    save_parquet(tmp_path / "a.parquet", {**ARRAYS, "features": FEATURES.astype(np.float16)})
    features, _ = read_features(tmp_path / "a.parquet")
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, FEATURES.astype(np.float16))


def test_bfloat16_is_read_as_float32(tmp_path):
    halves = FEATURES.astype(jnp.bfloat16)
    FORMATS["a.safetensors"](tmp_path / "a.safetensors", {**ARRAYS, "features": halves})
    features, _ = read_features(tmp_path / "a.safetensors")
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, halves.astype(np.float32))
    np.savez(tmp_path / "a.npz", **{**ARRAYS, "features": halves})
    with pytest.raises(InputError, match="numpy can save, such as float32 but not bfloat16"):
        read_features(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", ["list_", "large_list"])  # pandas and Polars
def test_files_of_other_programs_are_read(kind, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    columns = {"name": TABLE.name, "identity": TABLE.identity, "camera": TABLE.camera}
    lists = pa.array(FEATURES.astype(np.float64).tolist(), getattr(pa, kind)(pa.float64()))
    table = pa.table({"embedding": lists, "modality": TABLE.modality, "more": range(N), **columns})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    features, table = read_features(tmp_path / "a.parquet")
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(table.identity, TABLE.identity)
    assert read_about(tmp_path / "a.parquet") == {}


def test_parts_may_be_of_several_versions_and_records(tmp_path):
    save_folder(tmp_path / "a.parquet", ARRAYS)
    rewrite(jreid="0.0.1", run="other")(tmp_path / "a.parquet")
    assert len(load_features(tmp_path / "a.parquet").names) == N


@pytest.fixture
def of_subfolders(tmp_path):
    """Folders of parts of the same images: of the subfolders `cam1` and `cam3`."""
    for camera in (1, 3):
        rows = TABLE.camera == camera
        arrays = {name: array[rows] for name, array in ARRAYS.items()}
        arrays["names"] = np.array([name.split("/", 1)[1] for name in arrays["names"].tolist()])
        some = {**arrays, "digests": ["0"] * rows.sum()}
        about = {**ABOUT, "images": int(rows.sum()), "names": f"of cam{camera}"}
        about["modality"] = str(arrays["modalities"][0])
        file = tmp_path / "all.parquet" / f"cam{camera}.parquet" / "part-000000.parquet"
        write_part(file, some, about)
    return tmp_path / "all.parquet"


def test_folders_of_subfolders_are_read_as_one(of_subfolders):
    features, table = read_features(of_subfolders)
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(table.name, TABLE.name)
    np.testing.assert_array_equal(table.identity, TABLE.identity)


def test_folders_of_other_models_are_not_read_as_one(of_subfolders):
    save_parquet(of_subfolders / "more.parquet", ARRAYS)
    with pytest.raises(InputError, match="has files and folders of Parquet"):
        load_features(of_subfolders)
    (of_subfolders / "more.parquet").unlink()
    (of_subfolders / "more.parquet").mkdir()
    with pytest.raises(InputError, match=r"more\.parquet has no \.parquet file"):
        load_features(of_subfolders)
    some = {**ARRAYS, "digests": ["0"] * N}
    write_part(of_subfolders / "more.parquet" / "a.parquet", some, {**ABOUT, "model": "other"})
    with pytest.raises(InputError, match="do not belong together: model is other"):
        load_features(of_subfolders)


def test_features_are_in_memory_only_once(tmp_path):
    folder, (parts, rows, width) = tmp_path / "a.parquet", (8, 4096, 512)
    for part in range(parts):
        names = [f"{part}/{row:06d}" for row in range(rows)]
        arrays = {"names": names, "digests": names, "modalities": ["visible"] * rows}
        arrays |= {"identities": range(rows), "cameras": range(rows)}
        arrays["features"] = np.full((rows, width), part, np.float32)
        about = {"parts": parts, "images": parts * rows, "part": part}
        write_part(folder / f"part-{part:06d}.parquet", arrays, about)
    for read in (load_features, read_features):
        tracemalloc.start()
        read(folder)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.5 * parts * rows * width * 4


@pytest.mark.parametrize("kind", ["list", "fixed_size_list"])
def test_embeddings_that_do_not_fit_into_memory_are_refused(kind, tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    type_ = pa.list_(pa.float64(), *([4] if kind == "fixed_size_list" else []))
    table = pa.table({"embedding": pa.array(FEATURES.tolist(), type_), "name": TABLE.name})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    needed = N * 4 * (8 + 4)
    monkeypatch.setattr(memory, "machine_memory", lambda: needed)
    assert load_features(tmp_path / "a.parquet").features.shape == (N, 4)
    monkeypatch.setattr(memory, "machine_memory", lambda: needed - 1)
    with pytest.raises(InputError, match=r"a\.parquet needs .* when it is unpacked"):
        load_features(tmp_path / "a.parquet")


def parquet_with(**columns):
    """Writes a file of another program with these columns in place of ours."""

    def change(folder):
        pa = pytest.importorskip("pyarrow")
        ours = {"name": TABLE.name, "embedding": FEATURES.tolist()} | columns
        pa.parquet.write_table(
            pa.table({name: one for name, one in ours.items() if one is not None}),
            folder / "part-000001.parquet",
        )
        (folder / "part-000000.parquet").unlink()
        (folder / "part-000002.parquet").unlink()

    return change


def rewrite(**about):
    def change(folder):
        some = {name: array[:4] for name, array in ARRAYS.items()} | {"digests": ["0"] * 4}
        given = {**ABOUT, "parts": 3, "part": 0, **about}
        write_part(folder / "part-000000.parquet", some, given)

    return change


def copy_of_a_part(folder):
    shutil.copy(folder / "part-000000.parquet", folder / "part-000000 (1).parquet")


def shorter(folder):
    some = {name: array[:3] for name, array in ARRAYS.items()} | {"digests": ["0"] * 3}
    write_part(folder / "part-000000.parquet", some, {**ABOUT, "parts": 3})


def narrower(folder):
    some = {name: array[:4] for name, array in ARRAYS.items()} | {"digests": ["0"] * 4}
    some["features"] = some["features"][:, :3]
    write_part(folder / "part-000000.parquet", some, {**ABOUT, "parts": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "part-000001.parquet").unlink(), r"2 of its 3 parts.*part-000001"),
        (rewrite(model="other"), "model is m in the one and other in the other"),
        (rewrite(images=3), "images is 12 in the one and 3"),
        (rewrite(dtype="float16"), "dtype is None in the one and float16"),
        (rewrite(extraction={"pooling": "avg", "evaluation.flip": True}), "extraction is None"),
        (rewrite(parts="three"), "no counts of images and parts"),
        (rewrite(part=1), "part-000001.*part-000000.parquet are the same part"),
        (copy_of_a_part, r"part-000000.parquet and part-000000 \(1\).parquet are the same part"),
        (shorter, "11 rows for 12 images"),
        (narrower, "several lengths"),
        (lambda f: (f / "part-000001.parquet").write_bytes(b"PAR1"), "part-000001.*as Parquet"),
        (rewrite(version=9), "another version"),
        (lambda f: [file.unlink() for file in f.iterdir()], "no .parquet file"),
        (parquet_with(embedding=None), "no column embedding; it needs embedding, name"),
        (parquet_with(embedding=[1.0] * N), "embedding is double"),
        (parquet_with(embedding=[["a"]] * N), r"embedding is list<.*string>; it must be a list"),
        (parquet_with(embedding=[[1]] * N), "features is int64.*floating point"),
        (parquet_with(embedding=[[1.0], *[[1.0, 2.0]] * (N - 1)]), "several lengths"),
        (parquet_with(name=[None, *TABLE.name[1:]]), "name is empty for 1 of 12"),
        (parquet_with(name=[], embedding=[]), "no rows|several|list"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, change, message):
    folder = tmp_path / "a.parquet"
    save_folder(folder, ARRAYS)
    change(folder)
    with pytest.raises(InputError, match=message) as raised:
        load_features(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.npy", lambda f: f.with_suffix(".csv").unlink(), r"a\.csv does not exist"),
        ("a.npy", lambda f: f.write_bytes(b"NUMPY"), r"a\.npy cannot be read"),
        ("a.npy", lambda f: edit(f, "name,", "named,"), r"csv:2 has no name"),
        ("a.npy", lambda f: edit(f, ",6,", ",six,"), "identity has a value .* whole number"),
        ("a.npy", lambda f: edit(f, ",17,", ",1_7,"), "identity has a value .* whole number"),
        ("a.npy", lambda f: edit(f, ",6,", ",6,7,"), "csv:2 has no right number"),
        ("a.npy", lambda f: np.save(f, FEATURES[1:]), r"names is .*\[12\]; it must be \[11\]"),
        ("a.safetensors", lambda f: f.write_bytes(b"{}"), r"a\.safetensors cannot be read"),
        ("a.safetensors", lambda f: save_file({"features": FEATURES}, f), "no array names"),
        ("a.safetensors", lambda f: save_file({"features": FEATURES}, f, {"names": "3"}), "names"),
        ("a.txt", lambda f: f.write_text("x"), r"a\.txt is not an .npz file"),
        ("b.parquet", lambda f: None, r"b\.parquet does not exist"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, change, message):
    if name in FORMATS:
        FORMATS[name](tmp_path / name, ARRAYS)
    change(tmp_path / name)
    with pytest.raises(InputError, match=message) as raised:
        load_features(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_flipped_bit_in_the_embeddings_is_found(tmp_path):
    save_parquet(tmp_path / "a.parquet", ARRAYS)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    place = content.index(FEATURES[7].tobytes())
    content[place] ^= 1
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as Parquet"):
        load_features(tmp_path / "a.parquet")


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(tmp_path):
    file = tmp_path / "a.parquet"
    save_parquet(file, ARRAYS)
    content, found = file.read_bytes(), 0
    for place in range(0, len(content), 9):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            loaded = load_features(file)
        except InputError:
            found += 1
            continue
        np.testing.assert_array_equal(loaded.features, FEATURES)
        np.testing.assert_array_equal(loaded.names, TABLE.name)
        if loaded.identities is not None:  # else the column's name is damaged
            np.testing.assert_array_equal(loaded.identities, TABLE.identity)
    assert found > len(content) // 9 // 3


def edit(path, old, new):
    table = path.with_suffix(".csv")
    table.write_text(table.read_text().replace(old, new, 1))
