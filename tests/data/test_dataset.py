import shutil

import numpy as np
import pytest

from jreid.data.dataset import check_images, load
from jreid.errors import InputError


def test_images_are_the_bytes_on_disk_in_order_of_name(tiny_folder, tiny_dataset):
    table = tiny_dataset.table
    assert len(table.name) == len(list(tiny_folder.glob("cam*/*/*.jpg")))
    assert (table.name == np.sort(table.name)).all()
    for name, image in zip(table.name, table.image, strict=True):
        assert image == (tiny_folder / f"{name}.jpg").read_bytes()


def test_columns_have_their_types(tiny_dataset):
    table = tiny_dataset.table
    assert table.identity.dtype == table.camera.dtype == np.int64
    assert set(table.modality) == {"visible", "infrared"}
    assert set(table.split) == {"train", "validation", "test"}
    assert {(1, 1), (3, 1)} & set(tiny_dataset.gallery_index)


def test_prepared_copy_is_used_again(tiny_folder, tmp_path):
    first = load("sysu_mm01", tiny_folder, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = load("sysu_mm01", tiny_folder, tmp_path)
    assert first.fingerprint == second.fingerprint
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == written


def test_a_changed_folder_is_prepared_anew(tiny_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    before = load("sysu_mm01", folder, tmp_path / "prepared")
    paths = sorted((folder / "cam1").glob("*/*.jpg"))
    shutil.copy(paths[1], paths[0])
    after = load("sysu_mm01", folder, tmp_path / "prepared")
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda jpeg: jpeg[: len(jpeg) // 2], "cannot be"),
        (lambda jpeg: b"", "is no JPEG, PNG, BMP image"),
        (lambda jpeg: b"<html>not found</html>", "is no JPEG, PNG, BMP image"),
    ],
)
def test_damaged_images_are_named_before_anything_is_prepared(tiny_folder, tmp_path, content, told):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    path = sorted(folder.glob("cam6/*/*.jpg"))[-1]
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(InputError, match=told) as error:
        load("sysu_mm01", folder, tmp_path / "prepared")
    assert str(path) in str(error.value)
    assert not (tmp_path / "prepared").exists()


def test_how_many_images_are_damaged_is_told(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in paths:
        path.write_bytes(b"x")
    with pytest.raises(InputError, match="and 2 more files"):
        check_images(paths)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    from PIL import Image

    path = tmp_path / "bomb.png"
    Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(InputError, match="50,000,000"):
        check_images([path])
