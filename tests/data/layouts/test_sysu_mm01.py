import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from jreid.data.layouts.layout import count_faults, counts
from jreid.data.layouts.sysu_mm01 import (
    CAMERA_MODALITY,
    COUNTS,
    Label,
    label_of,
    list_images,
    read_gallery_index,
)
from jreid.errors import InputError

IMAGES = 2  # of each identity in each camera
SPLITS = {"train": (1, 3), "val": (4,), "test": (6,)}  # identity 2 is in no list, 5 nowhere
NAMES = [
    f"cam{camera}/{identity:04d}/{number:04d}"
    for camera in range(1, 7)
    for identity in (1, 3, 4, 6)
    for number in range(1, IMAGES + 1)
]


def make_folder(folder: Path, images: Mapping[tuple[int, int], int], lists) -> Path:
    """A folder of empty images; their numbers by camera and identity."""
    from scipy.io import savemat

    draws = np.empty((6, 1), object)
    for camera in range(1, 7):
        draws[camera - 1, 0] = np.empty((max(i for _, i in images), 1), object)
        for identity in range(1, len(draws[camera - 1, 0]) + 1):
            count = images.get((camera, identity), 0)
            numbers = np.arange(1, count + 1, dtype=np.uint8)
            draws[camera - 1, 0][identity - 1, 0] = np.tile(numbers[::-1], (10, 1))
            place = folder / f"cam{camera}" / f"{identity:04d}"
            place.mkdir(parents=True)
            for number in numbers:
                (place / f"{number:04d}.jpg").touch()
    (folder / "exp").mkdir()
    savemat(folder / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": draws})
    write_lists(folder, lists)
    return folder


def write_lists(folder: Path, lists: Mapping[str, Iterable[int]]) -> None:
    for split, identities in lists.items():
        text = ",".join(map(str, identities)) + "\n"
        (folder / "exp" / f"{split}_id.txt").write_text(text)


@pytest.fixture
def folder(tmp_path) -> Path:
    images = {(camera, identity): IMAGES for camera in range(1, 7) for identity in (1, 2, 3, 4, 6)}
    return make_folder(tmp_path / "data set ü", images, SPLITS)


def faults_of(folder: Path) -> list[tuple[str, str]]:
    """The faults without their remedies, and their kinds."""
    faults = list_images(folder).faults
    assert all("\n" not in str(fault) and not str(fault).endswith(".") for fault in faults)
    return [(str(fault).split(";")[0], fault.kind) for fault in faults]


def names_of(folder: Path) -> list[str]:
    return [row.name for row in list_images(folder).rows]


def test_rows_carry_what_paths_and_lists_say(folder):
    listing = list_images(folder)
    assert listing.faults == []
    assert [row.name for row in listing.rows] == NAMES
    of_identity = {1: "train", 3: "train", 4: "validation", 6: "test"}
    for row in listing.rows:
        assert row.path == folder / f"{row.name}.jpg"
        assert row.name.startswith(f"cam{row.camera}/{row.identity:04d}/")
        assert row.modality == ("infrared" if row.camera in (3, 6) else "visible")
        assert row.split == of_identity[row.identity]
    assert listing.gallery_index[6, 6].tolist() == [[2, 1]] * 10
    assert (1, 5) not in listing.gallery_index


def test_the_synthetic_dataset_is_faultless(tiny_folder):
    listing = list_images(tiny_folder)
    assert listing.faults == []
    assert len(listing.rows) == len(list(tiny_folder.glob("cam*/*/*.jpg")))
    for (camera, identity), draws in listing.gallery_index.items():
        count = len(list((tiny_folder / f"cam{camera}/{identity:04d}").glob("*.jpg")))
        assert draws.shape == (10, count)
        assert draws.dtype == np.int64
        assert (np.sort(draws, axis=1) == np.arange(1, count + 1)).all()


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("x/cam3/0006/0012.jpg", Label(6, 3, "infrared")),
        ("/cam/cam5/0433/0001.JPG", Label(433, 5, "visible")),
        ("x/cam7/0006/0012.jpg", None),
        ("0012.jpg", None),
    ],
)
def test_a_path_gives_its_label(path, label):
    assert label_of(Path(path)) == label


def break_image(folder):
    (folder / "cam1/0001/0002.jpg").unlink()


def break_pair(folder):
    shutil.rmtree(folder / "cam2/0003")


def break_identity(folder):
    for camera in range(1, 7):
        shutil.rmtree(folder / f"cam{camera}/0003")


def break_camera(folder):
    shutil.rmtree(folder / "cam3")


def break_all_cameras(folder):
    for camera in range(1, 7):
        shutil.rmtree(folder / f"cam{camera}")


def break_stranger(folder):
    (folder / "cam1/0001/0003.jpg").touch()
    (folder / "cam1/0001/copy of 0001.jpg").touch()


def break_double(folder):
    (folder / "cam1/0001/0001.JPG").touch()


def break_list(folder):
    (folder / "exp/val_id.txt").unlink()


def break_list_text(folder):
    (folder / "exp/val_id.txt").write_text("4;-1,x,4,4\n")


def break_empty_list(folder):
    (folder / "exp/val_id.txt").write_text("")


def break_split(folder):
    (folder / "exp/test_id.txt").write_text("6,1\n")


def break_absent_identity(folder):
    (folder / "exp/test_id.txt").write_text("6,5,77\n")


def break_index(folder):
    (folder / "exp/rand_perm_cam.mat").unlink()


def break_index_bytes(folder):
    (folder / "exp/rand_perm_cam.mat").write_bytes(b"MATLAB?")


def break_exp(folder):
    shutil.rmtree(folder / "exp")


VAL = "exp/val_id.txt:1"
MAT = "exp/rand_perm_cam.mat"


@pytest.mark.parametrize(
    ("break_folder", "message"),
    [
        (break_image, [(f"{MAT} names cam1/0001/0002, a missing image", "missing")]),
        (
            break_pair,
            [(f"{MAT} names cam2/0003, a missing folder, with 2 of its images", "missing")],
        ),
        (
            break_identity,
            [
                (
                    "exp/train_id.txt:1 names identity 3, who has no image in the folder",
                    "missing",
                )
            ],
        ),
        (break_camera, [(f"{MAT} names cam3, a missing folder, with 8 of its images", "missing")]),
        (
            break_all_cameras,
            [
                (f"{MAT} names cam{k}, a missing folder, with 8 of its images", "missing")
                for k in range(1, 7)
            ],
        ),
        (
            break_stranger,
            [
                (f"cam1/0001/0003.jpg is not in {MAT}", "error"),
                (f"cam1/0001/copy of 0001.jpg is not in {MAT}", "error"),
            ],
        ),
        (
            break_double,
            [("cam1/0001/0001.jpg has the name of cam1/0001/0001.JPG", "error")],
        ),
        (break_list, [("exp/val_id.txt is missing", "missing")]),
        (break_empty_list, [("exp/val_id.txt is empty", "error")]),
        (
            break_list_text,
            [
                (f"{VAL} names '4", "error"),
                (f"{VAL} names 'x', which is not an identity", "error"),
                (f"{VAL} names identity 4 twice", "error"),
            ],
        ),
        (
            break_split,
            [
                (
                    "exp/test_id.txt:1 names identity 1, which is in the train split too",
                    "error",
                )
            ],
        ),
        (
            break_absent_identity,
            [
                (f"exp/test_id.txt:1 names identity {k}, who has no image in the folder", "error")
                for k in (5, 77)
            ],
        ),
        (break_index, [(f"{MAT} is missing", "missing")]),
        (break_exp, [("exp is missing", "missing"), (f"{MAT} is missing", "missing")]),
    ],
)
def test_a_damaged_folder_is_reported_by_file_cause_and_remedy(folder, break_folder, message):
    break_folder(folder)
    assert faults_of(folder) == message
    assert all(";" in fault.what for fault in list_images(folder).faults)


def test_a_damaged_index_is_reported_without_a_traceback(folder):
    break_index_bytes(folder)
    ((message, kind),) = faults_of(folder)
    assert message.startswith(f"{MAT} does not have the official form")
    assert kind == "error"
    with pytest.raises(InputError, match="official form"):
        read_gallery_index(folder / MAT)
    with pytest.raises(InputError, match="is missing"):
        read_gallery_index(folder / "nowhere.mat")


def test_without_an_index_the_images_are_still_listed(folder):
    break_index(folder)
    assert names_of(folder) == NAMES
    assert list_images(folder).gallery_index == {}


def test_all_faults_come_in_one_pass(folder):
    breaks = [break_stranger, break_image, break_pair, break_list_text]
    for break_folder in breaks:
        break_folder(folder)
    (folder / "stray.png").touch()
    message = [message for message, _ in faults_of(folder)]
    assert len(message) == len(set(message)) == 8
    assert len(names_of(folder)) == len(NAMES) - 1 - IMAGES


def test_what_is_there_is_listed_though_a_part_is_missing(folder):
    for break_folder in (break_identity, break_camera):
        break_folder(folder)
    kept = [name for name in NAMES if "cam3" not in name and "/0003/" not in name]
    assert names_of(folder) == kept
    assert len(faults_of(folder)) == 2


def test_a_byte_order_mark_line_ends_and_blank_lines_are_only_odd(folder):
    rows = list_images(folder).rows
    (folder / "exp/train_id.txt").write_bytes(b"\xef\xbb\xbf1,3\r\n")
    (folder / "exp/test_id.txt").write_text("\n6\n")
    listing = list_images(folder)
    assert listing.rows == rows
    assert [fault.kind for fault in listing.faults] == ["note"] * 3


def test_other_systems_files_are_only_counted(folder):
    rows = list_images(folder).rows
    for place in (folder, folder / "exp", folder / "cam1/0001"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0001.jpg", ".hidden.png"):
            (place / name).touch()
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX/0001.jpg").touch()
    listing = list_images(folder)
    assert listing.rows == rows
    (hidden,) = listing.faults
    assert "9 images in hidden files and folders (6 .jpg, 3 .png)" in hidden.what
    assert hidden.kind == "warning"


def test_capital_suffixes_are_the_same_images(folder):
    names = names_of(folder)
    for path in sorted(folder.glob("cam4/*/*.jpg")):
        path.rename(path.with_suffix(".JPG"))
    listing = list_images(folder)
    assert [row.name for row in listing.rows] == names
    assert listing.faults == []
    assert all(row.path.exists() for row in listing.rows)


def test_linked_folders_are_followed_and_loops_are_not(folder, tmp_path):
    (folder / "cam3").rename(tmp_path / "disk")
    (folder / "cam3").symlink_to(tmp_path / "disk")
    (folder / "cam1/0001/loop").symlink_to(folder)
    (folder / "cam7").symlink_to(folder / "cam1")
    (tmp_path / "link").symlink_to(folder)
    listing = list_images(tmp_path / "link")
    assert listing.faults == []
    assert [row.name for row in listing.rows] == NAMES


def test_misplaced_images_are_reported_and_identities_of_no_list_are_not(folder):
    for path in ("a.jpg", "cam1/b.jpg", "cam1/0001/old/c.jpg", "cam7/0001/d.jpg", "exp/e.bmp"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / "cam1/0002/x.jpg").touch()
    message = "the folder holds 5 images in places that this layout does not have (1 .bmp, 4 .jpg)"
    assert faults_of(folder) == [(f"{message}, left out", "warning")]
    assert names_of(folder) == NAMES


def test_an_official_index_is_read_and_counts_agree_with_a_full_folder(tmp_path, capsys):
    """COUNTS against a whole dataset of empty images, made from the official file."""
    index = official_index()
    lists = official_lists(index)
    for split, identities in lists.items():
        (tmp_path / "exp").mkdir(exist_ok=True)
        write_lists(tmp_path, {split: identities})
    shutil.copy(os.environ["JREID_RAND_PERM_CAM"], tmp_path / MAT)
    for (camera, identity), draws in index.items():
        place = tmp_path / f"cam{camera}" / f"{identity:04d}"
        place.mkdir(parents=True)
        for number in range(1, draws.shape[1] + 1):
            os.close(os.open(place / f"{number:04d}.jpg", os.O_CREAT))
    started = time.perf_counter()
    listing = list_images(tmp_path)
    took = time.perf_counter() - started
    with capsys.disabled():
        print(f" {len(listing.rows):,} images listed in {took:.1f} s ", end="")
    assert listing.faults == []
    assert counts(listing.rows) == COUNTS
    assert count_faults(COUNTS, listing.rows) == []
    for row in listing.rows[::100]:
        row.path.unlink()
    partial = list_images(tmp_path)
    assert len(partial.faults) == len(listing.rows[::100])
    assert {fault.kind for fault in partial.faults} == {"missing"}
    assert {fault.kind for fault in count_faults(COUNTS, partial.rows)} == {"missing"}


def test_the_official_index_holds_the_known_numbers_of_images():
    index = official_index()
    visible = sum(draws.shape[1] for (camera, _), draws in index.items() if camera not in (3, 6))
    infrared = sum(draws.shape[1] for (camera, _), draws in index.items() if camera in (3, 6))
    assert (visible, infrared) == (30_071, 15_792)


def test_counts_sum_to_the_published_totals():
    def total(modality: str, *splits: str) -> int:
        return sum(
            count.images
            for group, count in COUNTS.items()
            if group.modality == modality and group.split in splits
        )

    assert total("visible", "train", "validation") == 22_258
    assert total("infrared", "train", "validation") == 11_909
    assert total("visible", "test") == 6_775
    assert total("infrared", "test") == 3_803
    assert all(CAMERA_MODALITY[group.camera] == group.modality for group in COUNTS)


def official_index():
    path = os.environ.get("JREID_RAND_PERM_CAM")
    if not path:
        pytest.skip("JREID_RAND_PERM_CAM does not name SYSU-MM01's official file")
    return read_gallery_index(Path(path))


def official_lists(index) -> dict[str, list[int]]:
    """The identities of both modalities by split; the test ones are those of the official list."""
    test = [6, 10, 17, 21, 24, 25, 27, 28, 31, 34, 36, 37, *range(40, 46), 49, 50, 51, 54, 63, 69]
    test += [75, *range(80, 91), 93, 102, 104, 105, 106, 108, 112, 116, 117, 122, 125, 129, 130]
    test += [134, 138, 139, 150, 152, 162, 166, 167, 170, 172, 176, 185, 190, 192, 202, 204, 207]
    test += [210, 215, 223, 229, 232, 237, 252, 253, 257, 259, 263, 266, 269, 272, 273, 274, 275]
    test += [282, 285, 291, 300, 301, 302, 303, 307, 312, 315, 318, 331, 333]
    validation = [*range(334, 347), *range(348, 434)]
    seen = {
        modality: {i for camera, i in index if CAMERA_MODALITY[camera] == modality}
        for modality in ("visible", "infrared")
    }
    both = seen["visible"] & seen["infrared"]
    train = sorted(both - {*test, *validation})
    assert (len(train), len(validation), len(test)) == (296, 99, 96)
    return {"train": train, "val": validation, "test": test}
