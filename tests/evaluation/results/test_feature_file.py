import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from helpers.features import arrays_of
from helpers.oracle import make_index, make_llcm_table, make_table

from jreid.data.layouts.find_images import find_images
from jreid.errors import InputError
from jreid.evaluation import evaluate, read_features
from jreid.evaluation.protocols.llcm import llcm
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.results.feature_file import (
    labels_of,
    name_among,
    normal_names,
    read_origin,
)

COUNTS = {(camera, identity): 3 for camera in range(1, 7) for identity in (6, 10, 17)}
LLCM_COUNTS = {
    (modality, camera, identity): 2
    for modality in ("visible", "infrared")
    for camera in (1, 2)
    for identity in (3, 9)
}
TABLE = make_table(COUNTS)
FEATURES = np.random.default_rng(0).normal(size=(len(TABLE.name), 5)).astype(np.float32)
N = len(FEATURES)


ARRAYS = arrays_of(TABLE, FEATURES)
LABELS = ("identities", "cameras", "modalities")


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_is_written_is_read(tmp_path):
    features, table = read_features(save(tmp_path / "f.npz", **ARRAYS))
    np.testing.assert_array_equal(features, FEATURES)
    assert features.dtype == np.float32
    for ours, theirs in zip(table, TABLE, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_rows_come_sorted_and_names_as_the_dataset_has_them(tmp_path):
    order = np.random.default_rng(1).permutation(N)
    shuffled = {name: array[order] for name, array in ARRAYS.items()}
    spellings = ["./{}.jpg", "{}.PNG", "{}", ".//{}.jpeg", "{}.bmp"]
    names = [spellings[i % 5].format(name) for i, name in enumerate(shuffled["names"])]
    names = [name.replace("/", "\\") if i % 2 else name for i, name in enumerate(names)]
    changes = {
        "names": np.array(names),
        "identities": shuffled["identities"].astype(np.float64),
        "cameras": shuffled["cameras"].astype(np.uint8),
        "features": shuffled["features"].astype(np.float64),
    }
    features, table = read_features(save(tmp_path / "f.npz", **shuffled | changes))
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(table.name, TABLE.name)
    np.testing.assert_array_equal(table.identity, TABLE.identity)
    np.testing.assert_array_equal(table.camera, TABLE.camera)


def test_a_name_may_have_a_dot(tmp_path):
    names = np.array([f"{name}.v2" for name in TABLE.name])
    _, table = read_features(save(tmp_path / "f.npz", **ARRAYS | {"names": names}))
    np.testing.assert_array_equal(table.name, names)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (["./b/1.jpg", "b\\2.PNG"], ["b/1", "b/2"]),
        (["a.jpg", "a.png", "b.png"], ["a.jpg", "a.png", "b"]),
        (["a.png.jpg", "a.png"], ["a.png.jpg", "a"]),
        (["a", "a.jpg"], ["a", "a"]),  # which is refused
    ],
)
def test_a_suffix_stays_where_two_images_differ_in_nothing_else(written, names):
    assert normal_names(written) == names
    assert [name_among({*names}, name) for name in written] == names


def test_images_that_differ_in_the_suffix_alone_are_embedded_and_read(tmp_path):
    """As `find_images` names them, and so as `jreid embed` writes them."""
    for file in ("a.jpg", "a.png", "a.png.jpg", "b.png"):
        (tmp_path / file).touch()
    found = [*find_images(tmp_path, None, keep_suffixes=True).images]
    arrays = {name: array[: len(found)] for name, array in ARRAYS.items()} | {"names": found}
    _, table = read_features(save(tmp_path / "f.npz", **arrays))
    assert table.name.tolist() == found == ["a.jpg", "a.png", "a.png.jpg", "b"]


@pytest.mark.parametrize(
    ("whole", "index", "protocol"),
    [
        (TABLE, make_index(COUNTS), sysu_mm01()),
        (TABLE, {}, sysu_mm01(sampling="seeded", search="indoor")),
        (make_llcm_table(LLCM_COUNTS), {}, llcm()),
    ],
)
def test_the_same_result_as_from_the_dataset(tmp_path, whole, index, protocol):
    features = np.random.default_rng(2).normal(size=(len(whole.name), 5)).astype(np.float32)
    of_dataset = evaluate(features, whole, index, protocol, images="known")
    path = save(tmp_path / "f.npz", **arrays_of(whole, features))
    of_file = evaluate(*read_features(path), index, protocol)
    assert of_file == of_dataset | {"images": ""}


def changed(array, value, at=4):
    array = np.array(array)
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": FEATURES[0]}, r"features is float32\[5\]; it must be a non-empty \[N, D\]"),
        ({"features": FEATURES[:, :0]}, r"features is float32\[54, 0\]"),
        ({"features": np.zeros((N, 2), int)}, r"features is int64\[54, 2\]"),
        ({"features": FEATURES.astype(object)}, "features cannot be read .*not as objects"),
        ({"features": changed(FEATURES, np.nan)}, "infinity in 1 of 54 .* cam1/0010/0002"),
        ({"features": FEATURES.astype(np.float64) * 1e300}, "infinity in 54 of 54"),
        ({"identities": TABLE.identity[1:]}, r"identities is int64\[53\]; it must be \[54\]"),
        ({"identities": TABLE.identity[:, None]}, r"identities is int64\[54, 1\]"),
        ({"identities": TABLE.identity + 0.5}, r"identities is float64\[54\]; .* whole numbers"),
        ({"identities": changed(TABLE.identity.astype(float), np.nan)}, "whole numbers"),
        ({"identities": changed(TABLE.identity.astype(float), np.inf)}, "whole numbers"),
        ({"identities": changed(TABLE.identity.astype(np.uint64), 2**64 - 1)}, "whole numbers"),
        ({"identities": TABLE.name}, r"identities is <U\d+\[54\]; it must be whole numbers"),
        ({"cameras": TABLE.camera.astype(object)}, "cameras cannot be read"),
        ({"cameras": TABLE.camera > 1}, r"cameras is bool\[54\]"),
        ({"modalities": TABLE.camera}, r"modalities is int64\[54\]; it must be text"),
        ({"modalities": changed(TABLE.modality, "thermal")}, "'thermal' for cam1/0010/0002"),
        ({"modalities": TABLE.modality.astype(bytes)}, r"modalities is \|S8\[54\]; .* text"),
        ({"names": TABLE.name.astype(object)}, "names cannot be read"),
        ({"names": changed(TABLE.name, TABLE.name[0] + ".jpg")}, "0001 more than once"),
        ({"names": TABLE.name[:-1]}, r"names is <U\d+\[53\]; it must be \[54\]"),
        (dict.fromkeys(ARRAYS, np.zeros((0,))), r"features is float64\[0\]"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, changes, message):
    path = save(tmp_path / "f.npz", **ARRAYS | changes)
    with pytest.raises(InputError, match=message) as raised:
        read_features(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [*ARRAYS])
def test_a_missing_array_is_named(tmp_path, name):
    path = save(tmp_path / "f.npz", **{key: ARRAYS[key] for key in ARRAYS if key != name})
    with pytest.raises(InputError, match=f"has no array {name}; save it by"):
        read_features(path)


def test_files_that_are_no_features(tmp_path):
    path = tmp_path / "f.npz"
    with pytest.raises(InputError, match=r"f\.npz does not exist"):
        read_features(path)
    whole = io.BytesIO()
    np.savez(whole, **ARRAYS)
    for content in (b"", b"features", whole.getvalue()[:-100], whole.getvalue()[:2000]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"f\.npz is not an \.npz file, or it is incomplete"):
            read_features(path)
    np.save(path.with_suffix(".npy"), FEATURES)
    with pytest.raises(InputError, match=r"f\.csv does not exist"):
        read_features(path.with_suffix(".npy"))


@pytest.mark.parametrize(("name", "member"), [("features", "features.npy"), ("names", "names")])
def test_a_member_that_is_no_array_is_named(tmp_path, name, member):
    path = save(tmp_path / "f.npz", **{key: ARRAYS[key] for key in ARRAYS if key != name})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(member, "hello")
    with pytest.raises(
        InputError, match=rf"f\.npz: {name} is not an array; save it again by np.savez"
    ):
        read_features(path)


def test_damage_anywhere_is_refused_or_harmless(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, **ARRAYS)
    generator, refused = np.random.default_rng(3), 0
    for _ in range(200):
        damaged = bytearray(whole.getvalue())
        damaged[generator.integers(len(damaged))] ^= int(generator.integers(1, 256))
        path = tmp_path / "f.npz"
        path.write_bytes(damaged)
        try:
            features, _ = read_features(path)
        except InputError:
            refused += 1
        else:
            np.testing.assert_array_equal(features, FEATURES)
    assert refused > 100


@pytest.mark.fault("A11")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_whole_numbers_that_their_type_may_have_rounded_are_refused(tmp_path, dtype):
    largest = 2 ** (np.finfo(dtype).nmant + 1)
    for value, fits in ((largest - 1, True), (largest, False)):
        identities = changed(TABLE.identity.astype(dtype), value)
        path = save(tmp_path / "f.npz", **ARRAYS | {"identities": identities})
        if fits:
            assert read_features(path)[1].identity.max() == value
        else:
            with pytest.raises(InputError, match=rf"identities is {dtype}"):
                read_features(path)


@pytest.mark.fault("A11")
def test_the_largest_integers_stay_what_they_are(tmp_path):
    for value in (2**63 - 1, 2**53 + 1):
        identities = changed(TABLE.identity.astype(np.uint64), value)
        path = save(tmp_path / "f.npz", **ARRAYS | {"identities": identities})
        assert value in read_features(path)[1].identity.tolist()


@pytest.mark.fault("B7")
@pytest.mark.timeout(20)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "f.npz"
    np.savez_compressed(path, **ARRAYS | {"features": np.zeros((N, 10**5), np.float32)})
    monkeypatch.setattr("os.sysconf", lambda name: 2**11)  # pages of as many bytes
    with pytest.raises(InputError, match="GB when it is unpacked"):
        read_features(path)


@pytest.mark.fault("B7")
@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "f.npz")
    with pytest.raises(InputError, match="not a regular file"):
        read_features(tmp_path / "f.npz")


def test_where_features_on_other_data_come_from_is_kept(tmp_path):
    row = {"dataset": "llcm", "other_data": True, "trained_on": "regdb", "trained_on_unknown": True}
    origin = {"labels": labels_of(TABLE), "row": {**row, "mAP": 1.0}}
    path = save(tmp_path / "f.npz", **ARRAYS, origin=json.dumps(origin))
    assert read_origin(path, TABLE)["row"] == row


@pytest.mark.fault("A7")
@pytest.mark.parametrize("names_are_hashed", [True, False])
def test_labels_that_images_have_exchanged_mark_the_rows(tmp_path, names_are_hashed):
    written = labels_of(TABLE)
    if not names_are_hashed:  # as earlier versions wrote it
        columns = zip(*(ARRAYS[name].tolist() for name in LABELS), strict=True)
        written = hashlib.sha256(json.dumps(sorted(columns)).encode()).hexdigest()
    origin = json.dumps({"labels": written, "row": {}})
    exchanged = {name: ARRAYS[name][::-1] for name in LABELS}
    for labels, is_seen in (({}, False), (exchanged, names_are_hashed)):
        path = save(tmp_path / "f.npz", **ARRAYS | labels, origin=origin)
        _, table = read_features(path)
        assert ("partial" in read_origin(path, table)["row"]) is is_seen


@pytest.mark.parametrize(
    "settings", [1, {"split_number": "1"}, {"experiment": 1}, {"mine": [1]}, {"mine": None}]
)
def test_settings_that_no_run_has_written_are_refused(tmp_path, settings):
    origin = {"labels": labels_of(TABLE), "row": {}, "settings": settings}
    path = save(tmp_path / "f.npz", **ARRAYS, origin=json.dumps(origin))
    with pytest.raises(InputError, match="origin was not written by"):
        read_origin(path, TABLE)
