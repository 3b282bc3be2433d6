import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from jreid.data.sysu_mm01 import list_images, read_gallery_index
from jreid.errors import InputError


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """A copy of the tiny dataset, to break."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def first_image(folder: Path) -> Path:
    return min(folder.glob("cam*/*/*.jpg"))


def test_rows_carry_what_paths_say(tiny_folder):
    rows = list_images(tiny_folder)
    assert len(rows) == len(list(tiny_folder.glob("cam*/*/*.jpg")))
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    for row in rows:
        assert row.path == tiny_folder / f"{row.name}.jpg"
        assert row.name == f"cam{row.camera}/{row.identity:04d}/{row.path.stem}"
        assert row.modality == ("infrared" if row.camera in (3, 6) else "visible")
    test = (tiny_folder / "exp" / "test_id.txt").read_text().split(",")
    assert {row.identity for row in rows if row.split == "test"} == set(map(int, test))


def test_gallery_index_holds_permutations(tiny_folder):
    index = read_gallery_index(tiny_folder / "exp" / "rand_perm_cam.mat")
    for (camera, identity), draws in index.items():
        count = len(list((tiny_folder / f"cam{camera}/{identity:04d}").glob("*.jpg")))
        assert draws.shape == (10, count)
        assert draws.dtype == np.int64
        assert (np.sort(draws, axis=1) == np.arange(1, count + 1)).all()


def test_official_gallery_index_is_read():
    path = os.environ.get("JREID_RAND_PERM_CAM")
    if not path:
        pytest.skip("JREID_RAND_PERM_CAM does not name SYSU-MM01's official file")
    index = read_gallery_index(Path(path))
    visible = sum(draws.shape[1] for (camera, _), draws in index.items() if camera not in (3, 6))
    infrared = sum(draws.shape[1] for (camera, _), draws in index.items() if camera in (3, 6))
    assert (visible, infrared) == (30_071, 15_792)


def break_nothing_there(folder):
    shutil.rmtree(folder)


def break_camera(folder):
    shutil.rmtree(folder / "cam3")


def break_image(folder):
    first_image(folder).unlink()


def break_stranger(folder):
    shutil.copy(first_image(folder), first_image(folder).with_name("0099.jpg"))


def break_list(folder):
    (folder / "exp" / "val_id.txt").unlink()


def break_list_text(folder):
    (folder / "exp" / "val_id.txt").write_text("1;2;x")


def break_split(folder):
    shutil.copy(folder / "exp" / "train_id.txt", folder / "exp" / "test_id.txt")


def break_index(folder):
    (folder / "exp" / "rand_perm_cam.mat").unlink()


def break_index_bytes(folder):
    (folder / "exp" / "rand_perm_cam.mat").write_bytes(b"MATLAB?")


@pytest.mark.parametrize(
    ("break_folder", "told"),
    [
        (break_nothing_there, "does not exist"),
        (break_camera, "lacks"),
        (break_image, "lacks 1 images"),
        (break_stranger, "holds unexpectedly 1 images"),
        (break_list, "val_id.txt is missing"),
        (break_list_text, "not one line of identities"),
        (break_split, "which is in the train split"),
        (break_index, "rand_perm_cam.mat is missing"),
        (break_index_bytes, "official form"),
    ],
)
def test_damaged_folders_are_refused_in_one_sentence(folder, break_folder, told):
    break_folder(folder)
    with pytest.raises(InputError, match=r".") as error:
        list_images(folder)
    assert told in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_begin_with_a_dot_are_nobody(folder):
    image = first_image(folder)
    shutil.copy(image, image.with_name("._" + image.name))
    (image.parent / "Thumbs.db").write_bytes(b"")
    assert len(list_images(folder)) == len(list(folder.glob("cam*/*/[0-9]*.jpg")))
