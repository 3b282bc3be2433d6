"""The walk through a folder of no layout, as `jreid embed --images` takes it."""

import os

import pytest

from jreid.data.plain_folder import read_folder
from jreid.errors import InputError


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_through(tmp_path):
    make(tmp_path, "b/2.JPG", "a/1.jpg", "a/deep/3.bmp", "c.png", "note.txt")
    names, paths, notes = read_folder(tmp_path)
    assert names == ["a/1", "a/deep/3", "b/2", "c"]
    assert [path.name for path in paths] == ["1.jpg", "3.bmp", "2.JPG", "c.png"]
    assert notes == []


@pytest.mark.fault("C1")
def test_what_is_left_out_is_reported_by_kind(tmp_path):
    make(tmp_path, "a.jpg", *(f"{n}.tif" for n in range(5)), ".hidden.jpg", "a/Thumbs.db")
    make(tmp_path, ".ipynb_checkpoints/a-checkpoint.jpg", ".git/deep/b.png", ".git/config")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    names, _, notes = read_folder(tmp_path)
    assert names == ["a"]
    assert {note.what.split(", left out")[0] for note in notes} == {
        "holds 5 files of other formats (5 .tif)",
        "holds 3 images in hidden files and folders (2 .jpg, 1 .png)",
        "holds 1 link to folders",
    }
    assert any(note.what.endswith("first 0.tif, 1.tif, 2.tif") for note in notes)


@pytest.mark.fault("C1")
def test_no_two_images_have_one_name(tmp_path):
    make(tmp_path, "a.jpg", "a.png", "a.png.bmp", "b.jpg", "B.jpg", "c.jpg.png")
    assert read_folder(tmp_path).names == ["B", "a.jpg", "a.png", "a.png.bmp", "b", "c.jpg"]


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.jpg, \.jpeg, \.png, \.bmp file; give"):
        read_folder(tmp_path)
    make(tmp_path, "a.tif")
    with pytest.raises(InputError, match=r"holds no .* \(the folder holds 1 file .*1 \.tif"):
        read_folder(tmp_path)
    for name in ("nothing", "a.tif"):
        with pytest.raises(InputError, match="is not a folder"):
            read_folder(tmp_path / name)


@pytest.mark.fault("C1")
def test_a_pipe_and_a_link_to_nowhere_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"gone\.png is a broken link.*pipe\.jpg is a broken link"):
        read_folder(tmp_path)
