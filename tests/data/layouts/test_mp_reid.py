"""MP-ReID's folder: its cameras, the lists of its experiments, and what may be wrong with them."""

import shutil

import pytest

from jreid.data.layouts.mp_reid import list_images
from jreid.errors import InputError

GROUND, DRONE = "cctv_ir_cctv_rgb", "uav_ir_uav_rgb"
CAMERAS = ("01", "02", "07", "11", "13", "14")
LISTS = {
    GROUND: {"train": "1", "val": "2", "test": "3,4"},
    DRONE: {"train": "2", "val": "1", "test": "3,4"},
}


@pytest.fixture
def folder(tmp_path):
    for camera in CAMERAS:
        for person in (1, 2, 3, 4):
            for number in (1, 2):
                if (camera, person) != ("14", 4):
                    path = tmp_path / camera / f"{person:04d}" / f"{number:04d}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x")
    for experiment, lists in LISTS.items():
        for split, line in lists.items():
            path = tmp_path / f"split/exp_{experiment}/{split}_id.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{line}\n")
    return tmp_path


def found(folder, experiment=GROUND, kinds=("error", "missing")):
    faults = list_images(folder, experiment).faults
    return [(fault.place, fault.what, fault.kind) for fault in faults if fault.kind in kinds]


def warnings(folder, experiment=GROUND):
    return "\n".join(
        f"{place} {what}" for place, what, _ in found(folder, experiment, ("warning",))
    )


def labels(folder, experiment):
    rows = list_images(folder, experiment).rows
    return {(row.camera, row.modality, row.identity, row.split) for row in rows}


def test_an_experiment_has_the_cameras_of_its_sides_and_its_own_lists(folder):
    assert not found(folder)
    splits = {1: "train", 2: "validation", 3: "test", 4: "test"}
    cameras = {1: "visible", 2: "visible", 7: "infrared", 11: "infrared"}
    assert labels(folder, GROUND) == {
        (camera, modality, identity, split)
        for camera, modality in cameras.items()
        for identity, split in splits.items()
    }
    assert len(list_images(folder, GROUND).rows) == 4 * 4 * 2
    splits |= {1: "validation", 2: "train"}
    assert labels(folder, DRONE) == {
        (camera, modality, identity, split)
        for camera, modality in ((13, "visible"), (14, "infrared"))
        for identity, split in splits.items()
        if (camera, identity) != (14, 4)
    }


def test_the_camera_is_the_whole_number_of_the_folder(folder):
    names = {row.name for row in list_images(folder, GROUND).rows}
    assert {"01/0001/0001", "11/0001/0001"} <= names
    cameras = {row.name: row.camera for row in list_images(folder, GROUND).rows}
    assert (cameras["01/0001/0001"], cameras["11/0001/0001"]) == (1, 11)


def test_folders_without_zeros_and_lists_in_the_root_are_the_same_dataset(folder):
    before = [row[:5] for row in list_images(folder, GROUND).rows]
    for camera in ("01", "02", "07"):
        (folder / camera).rename(folder / camera[1])
    for experiment in LISTS:
        (folder / f"split/exp_{experiment}").rename(folder / f"exp_{experiment}")
    assert not found(folder)
    assert [row[:5] for row in list_images(folder, GROUND).rows] == before


def test_without_a_choice_the_experiments_are_named_and_the_first_is_taken(folder):
    assert labels(folder, 0) == labels(folder, GROUND)
    (folder / "split/exp_cctv_ir_uav_ir").mkdir()
    (folder / "split/exp_rgb").mkdir()
    said = warnings(folder, 0)
    assert f"than {GROUND}" in said and DRONE in said
    assert "cctv_ir_uav_ir (it compares images of one modality" in said and "rgb (not off" in said
    shutil.rmtree(folder / f"split/exp_{GROUND}")
    assert labels(folder, 0) == labels(folder, DRONE) and not found(folder, 0)


def test_counts_and_cameras_that_are_not_there_are_warnings(folder):
    assert "136,156 of 1,930" in warnings(folder)
    assert "camera 03 of the experiment" in warnings(folder) and "4 of 6" in warnings(folder)
    (folder / "01/0001/Thumbs.db").write_bytes(b"x")
    assert "Thumbs.db" not in warnings(folder) and not found(folder)


def test_people_to_train_on_that_one_side_sees_are_left_out(folder):
    shutil.rmtree(folder / "13/0002")
    assert "0002" in warnings(folder, DRONE) and not found(folder, DRONE)
    assert {identity for _, _, identity, _ in labels(folder, DRONE)} == {1, 3, 4}


@pytest.mark.parametrize(
    ("change", "place", "message", "kind"),
    [
        (lambda f: (f / "1/0001").mkdir(parents=True), "1", "01", "error"),
        (lambda f: shutil.copytree(f / "split/exp_" f"{GROUND}", f / f"exp_{GROUND}"),
         f"exp_{GROUND}", "split", "error"),
        (lambda f: shutil.rmtree(f / f"split/exp_{GROUND}"), f"exp_{GROUND}", DRONE, "error"),
        (lambda f: shutil.rmtree(f / "split"), f"exp_{GROUND}", "unpack", "error"),
        (lambda f: (f / f"split/exp_{GROUND}/val_id.txt").unlink(), "val_id", "miss", "missing"),
        (lambda f: write(f, "val", "2,3"), "test_id.txt:1", "identity 3", "error"),
        (lambda f: write(f, "train", "1,x"), "train_id.txt:1", "'x'", "error"),
        (lambda f: write(f, "train", ""), "train_id.txt", "empty", "error"),
        (lambda f: write(f, "test", "3,4,9"), "test_id.txt:1", "identity 9", "missing"),
        (lambda f: [shutil.rmtree(f / c) for c in ("07", "11")], "camera 07", "6 of 6", "missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(folder, change, place, message, kind):
    change(folder)
    faults = found(folder)
    assert any(place in one and message in what and of == kind for one, what, of in faults), faults


def write(folder, split, line):
    (folder / f"split/exp_{GROUND}/{split}_id.txt").write_text(line)


@pytest.mark.parametrize(
    ("experiment", "why"),
    [("cctv_ir_uav_ir", "one modality"), ("cctv_rgb_uav_rgb", "one modality"), ("rgb", GROUND)],
)
def test_experiments_that_jreid_does_not_offer(folder, experiment, why):
    with pytest.raises(InputError, match=f"{experiment}.*{why}"):
        list_images(folder, experiment)
