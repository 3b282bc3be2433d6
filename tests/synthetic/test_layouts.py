"""The synthetic dataset's layouts: its lists and its folders agree, and its label counts them."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jreid.data.layouts import mp_reid
from jreid.data.layouts.orbench import list_images
from jreid.data.layouts.synthetic_label import read_label
from jreid.synthetic.layouts import LAYOUTS, PRESETS
from jreid.synthetic.synthesize import synthesize

SUFFIXES = (".jpg", ".bmp")
LLCM_PATH = re.compile(
    r"(?:(vis|nir)|test_(vis|nir)/cam(\d))/(\d{4})/(\d{4})_c0(\d)_s\d{6}_f\d{4}_(vis|nir)\.jpg"
)

Label = tuple[str, str, int, int]  # split, modality, camera, identity


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    made = {layout: tmp_path_factory.mktemp("layouts") / layout for layout in LAYOUTS}
    for layout, folder in made.items():
        synthesize(folder, "tiny", seed=0, layout=layout)
    return made


def image_paths(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_list(folder: Path, name: str) -> list[tuple[str, int]]:
    """Paths and labels; no path is listed twice."""
    lines = [line.split(" ") for line in (folder / "idx" / name).read_text().splitlines()]
    assert lines and len({path for path, _ in lines}) == len(lines)
    return [(path, int(label)) for path, label in lines]


def read_identities(path: Path) -> list[int]:
    (line,) = path.read_text().splitlines()
    return [int(identity) for identity in line.split(",")]


def sysu_label(folder: Path, path: str) -> Label:
    camera, identity = int(path[3]), int(path.split("/")[1])
    files = {"train": "train", "validation": "val", "test": "test"}
    (split,) = [
        split
        for split, file in files.items()
        if identity in read_identities(folder / "exp" / f"{file}_id.txt")
    ]
    return split, "infrared" if camera in (3, 6) else "visible", camera, identity


def regdb_label(folder: Path, path: str, trial: int = 1) -> Label:
    place, identity, _ = path.split("/")
    word, modality, camera = {
        "Visible": ("visible", "visible", 1),
        "Thermal": ("thermal", "infrared", 2),
    }[place]
    train = read_list(folder, f"train_{word}_{trial}.txt")
    split = "train" if path in {listed for listed, _ in train} else "test"
    return split, modality, camera, int(identity)


def llcm_label(folder: Path, path: str) -> Label:
    """Every part of the path agrees with every other."""
    match = LLCM_PATH.fullmatch(path)
    assert match, path
    train_word, test_word, place, identity, name_identity, camera, name_word = match.groups()
    assert name_identity == identity and name_word == (train_word or test_word)
    assert place in (None, camera)
    modality = {"vis": "visible", "nir": "infrared"}[name_word]
    return "train" if train_word else "test", modality, int(camera), int(identity)


def orbench_label(folder: Path, path: str) -> Label:
    word, identity, name = path.split("/")
    match = re.fullmatch(rf"{identity}_(llcm|sysu)_\d{{4}}_c(?:am)?(\d+)_.+_?{word}\.jpg", name)
    assert match, path
    train = json.loads((folder / "train_annos.json").read_text())
    split = "train" if any(f"vis/{identity}/" in one["file_path"] for one in train) else "test"
    camera = int(match[2]) + (10 if match[1] == "sysu" else 0)
    return split, "infrared" if word == "nir" else "visible", camera, int(identity)


def mp_reid_label(folder: Path, path: str) -> Label:
    camera, identity, _ = path.split("/")
    files = {"train": "train", "validation": "val", "test": "test"}
    home = folder / "split/exp_cctv_ir_cctv_rgb"
    (split,) = [
        split
        for split, file in files.items()
        if int(identity) in read_identities(home / f"{file}_id.txt")
    ]
    return split, "infrared" if int(camera) > 6 else "visible", int(camera), int(identity)


LABELS = {
    "sysu_mm01": sysu_label,
    "regdb": regdb_label,
    "llcm": llcm_label,
    "orbench": orbench_label,
    "mp_reid": mp_reid_label,
}


def counted(labels: list[Label]) -> set[tuple]:
    images = Counter(label[:3] for label in labels)
    people = Counter(label[:3] for label in set(labels))
    return {(*group, people[group], images[group]) for group in images}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_label_counts_what_is_on_disk(layout, folders):
    folder = folders[layout]
    label = read_label(folder)
    assert label is not None and label["layout"] == layout
    found = counted([LABELS[layout](folder, path) for path in image_paths(folder)])
    assert {tuple(row) for row in label["counts"]} == found and len(found) == len(label["counts"])


@pytest.mark.parametrize("trial", range(1, 11))
def test_the_label_counts_any_trial_of_regdb(trial, folders):
    folder = folders["regdb"]
    label = read_label(folder)
    assert label is not None
    found = counted([regdb_label(folder, path, trial) for path in image_paths(folder)])
    assert {tuple(row) for row in label["counts"]} == found


@pytest.mark.parametrize("trial", range(1, 11))
@pytest.mark.parametrize("word", ["visible", "thermal"])
def test_lists_of_regdb_halve_the_identities_and_name_every_image(word, trial, folders):
    folder = folders["regdb"]
    listed: list[str] = []
    for split in ("train", "test"):
        lines = read_list(folder, f"{split}_{word}_{trial}.txt")
        listed += [path for path, _ in lines]
        pairs = {(int(path.split("/")[1]), label) for path, label in lines}
        assert sorted(label for _, label in pairs) == list(range(6))
        assert len({identity for identity, _ in pairs}) == 6
    of_modality = [path for path in image_paths(folder) if path.startswith(word.capitalize())]
    assert sorted(listed) == of_modality  # so no identity is in both halves
    assert len({path.split("/")[1] for path in of_modality}) == 12


def test_trials_of_regdb_differ_and_modalities_of_a_trial_agree(folders):
    def identities(name: str) -> tuple[str, ...]:
        return tuple(sorted({path.split("/")[1] for path, _ in read_list(folders["regdb"], name)}))

    trials = [identities(f"train_visible_{trial}.txt") for trial in range(1, 11)]
    assert trials == [identities(f"train_thermal_{trial}.txt") for trial in range(1, 11)]
    assert len(set(trials)) > 5


def test_images_of_regdb_are_bitmaps_with_names_like_the_real_ones(folders):
    numbers = []
    for path in image_paths(folders["regdb"]):
        match = re.fullmatch(r"(V|T)\w+/(\d+)/[a-z]+_[a-z]+_(v|t)_(\d{5})_(\d+)\.bmp", path)
        assert match and match[1].lower() == match[3] and match[2] == match[5], path
        numbers.append(match[4])
        with Image.open(folders["regdb"] / path) as image:
            assert image.format == "BMP" and image.mode == "RGB" and image.size == (32, 64)
            spread = np.ptp(np.asarray(image, int), axis=2)
        assert spread.max() == 0 if match[1] == "T" else spread.mean() > 3, path
    assert len(set(numbers)) == len(numbers)


def test_lists_of_llcm_name_every_image_once(folders):
    folder = folders["llcm"]
    for word in ("vis", "nir"):
        for name, place in (
            (f"train_{word}.txt", f"{word}/"),
            (f"test_{word}.txt", f"test_{word}/"),
        ):
            listed = sorted(path for path, _ in read_list(folder, name))
            assert listed == [path for path in image_paths(folder) if path.startswith(place)]


def test_labels_of_llcm_are_ranks_in_training_and_identities_in_test(folders):
    folder = folders["llcm"]
    tested = read_identities(folder / "idx" / "test_id.txt")
    trained = sorted({*range(1, 15)} - {*tested})
    assert len(tested) == 6 and tested == sorted(tested)
    for word in ("vis", "nir"):
        train = read_list(folder, f"train_{word}.txt")
        pairs = {(int(path.split("/")[1]), label) for path, label in train}
        assert pairs == {(identity, rank) for rank, identity in enumerate(trained)}
        test = read_list(folder, f"test_{word}.txt")
        assert all(int(path.split("/")[2]) == label for path, label in test)
        assert {label for _, label in test} == {*tested}


def test_cameras_of_llcm_see_some_identities_in_either_modality(folders):
    labels = [llcm_label(folders["llcm"], path) for path in image_paths(folders["llcm"])]
    cameras: dict[tuple[int, str], set[int]] = {}
    for _, modality, camera, identity in labels:
        cameras.setdefault((identity, modality), set()).add(camera)
    assert len(cameras) == 2 * 14 and all(len(seen) >= 3 for seen in cameras.values())
    assert any(len(seen) < 8 for seen in cameras.values())
    groups = {label[:3] for label in labels}
    every = {
        (split, modality, camera)
        for split in ("train", "test")
        for modality in ("visible", "infrared")
        for camera in range(1, 10)
    }
    assert groups == every - {("test", "infrared", 3)}
    assert {1, 2, 3} == {*Counter(labels).values()}


def test_a_camera_of_llcm_films_in_colour_by_day_and_in_gray_by_night(folders):
    for path in image_paths(folders["llcm"]):
        with Image.open(folders["llcm"] / path) as image:
            assert image.format == "JPEG" and image.mode == "RGB"
            spread = np.ptp(np.asarray(image, int), axis=2)
        assert spread.max() == 0 if path.endswith("_nir.jpg") else spread.mean() > 3, path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_two_images_are_equal(layout, folders):
    paths = image_paths(folders[layout])
    assert len({(folders[layout] / path).read_bytes() for path in paths}) == len(paths)


def test_the_bytes_do_not_depend_on_the_workers(folders, tmp_path):
    synthesize(tmp_path / "two", "tiny", 0, workers=2, layout="llcm")
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (folders["llcm"], tmp_path / "two")
    )
    assert one == two and len(one) > 100


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_plan_follows_from_its_seed(preset, layout):
    how_much, plan = PRESETS[preset][layout], LAYOUTS[layout]
    assert plan(how_much, 3) == plan(how_much, 3)
    assert plan(how_much, 3) != plan(how_much, 4)
    keys = [shot.key for shot in plan(how_much, 3).shots]
    assert len(set(keys)) == len(keys)


def test_mp_reid_is_read_without_faults(folders):
    listing = mp_reid.list_images(folders["mp_reid"])
    assert not listing.faults
    assert len(listing.rows) == len(image_paths(folders["mp_reid"]))


def test_orbench_is_read_without_faults(folders):
    listing = list_images(folders["orbench"])
    assert not [fault for fault in listing.faults if not fault.harmless]
    assert len(listing.rows) == len(image_paths(folders["orbench"]))
    assert any("LLCM and" in fault.what for fault in listing.faults)
    assert not any("45,113" in fault.what for fault in listing.faults)  # it is not ORBench itself
