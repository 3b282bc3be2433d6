"""The contact sheet: who and which cameras are shown where, its size, and bad input."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jreid.data.contact_sheet import FORMATS, GAP, HEADER, HEIGHT, MARGIN, WIDTH, contact_sheet
from jreid.data.table import Table
from jreid.errors import InputError

ROW = HEIGHT + GAP


def png(value: int | np.ndarray) -> bytes:
    """A picture of one gray level, or of an array's."""
    content = io.BytesIO()
    pixels = np.full((17, 5), value, np.uint8) if isinstance(value, int) else value
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def table(*rows: tuple[int, int, str, str, bytes]) -> Table:
    """Of (identity, camera, modality, split, image), in order of name."""
    identity, camera, modality, split, images = zip(*rows, strict=True)
    content = np.empty(len(rows), object)
    content[:] = images
    return Table(
        name=np.array([f"{row:04d}" for row in range(len(rows))]),
        identity=np.array(identity, np.int64),
        camera=np.array(camera, np.int64),
        modality=np.array(modality),
        split=np.array(split),
        image=content,
    )


def draw(shown: Table, folder: Path, identities: int = 8) -> np.ndarray:
    """The sheet's gray levels `[H, W]`."""
    contact_sheet(shown, folder / "sheet.png", identities)
    assert [path.name for path in folder.iterdir()] == ["sheet.png"]
    with Image.open(folder / "sheet.png") as image:
        return np.asarray(image.convert("L"))


def levels(sheet: np.ndarray, columns: int, images: int) -> list[list[int]]:
    """The level in the middle of each place for an image, by row; 255 where there is none."""
    step = images * WIDTH + 10
    assert sheet.shape[1] == MARGIN + columns * step
    places = [
        MARGIN + column * step + k * WIDTH + WIDTH // 2
        for column in range(columns)
        for k in range(images)
    ]
    return sheet[HEADER + HEIGHT // 2 :: ROW, places].tolist()


def test_identities_that_most_columns_saw_come_first_and_cameras_are_in_order(tmp_path):
    shown = table(
        (9, 2, "visible", "test", png(10)),
        (9, 1, "infrared", "test", png(20)),
        (9, 1, "visible", "test", png(30)),
        (9, 1, "visible", "test", png(40)),
        (9, 1, "visible", "test", png(50)),  # the third of a column is not shown
        (4, 2, "visible", "test", png(60)),
        (5, 1, "infrared", "test", png(70)),
        (3, 1, "visible", "train", png(80)),
        (3, 1, "infrared", "train", png(80)),
    )
    sheet = draw(shown, tmp_path)
    assert levels(sheet, columns=3, images=2) == [
        [30, 40, 20, 255, 10, 255],
        [255, 255, 255, 255, 60, 255],
        [255, 255, 70, 255, 255, 255],
    ]
    assert sheet[:HEADER].min() == 0 and sheet[:, :MARGIN].min() == 0  # titles


def test_cameras_of_people_not_shown_have_no_column(tmp_path):
    rows = [(9, camera, "visible", "test", png(10 * camera)) for camera in (1, 2)]
    shown = table(*rows, (4, 3, "infrared", "test", png(90)))
    assert levels(draw(shown, tmp_path, identities=1), columns=2, images=2) == [[10, 255, 20, 255]]


def test_more_than_eight_columns_show_one_image_each(tmp_path):
    rows = [
        (1, camera, modality, "test", png(10 * camera))
        for camera in range(1, 10)
        for modality in ("visible", "infrared")
        for _ in range(3)
    ]
    sheet = draw(table(*rows), tmp_path)
    assert levels(sheet, columns=18, images=1) == [
        [10 * camera for camera in range(1, 10) for _ in range(2)]
    ]


def test_without_test_identities_all_are_shown(tmp_path):
    shown = table((1, 1, "visible", "train", png(33)), (2, 1, "visible", "validation", png(44)))
    assert levels(draw(shown, tmp_path), columns=1, images=2) == [[33, 255], [44, 255]]


@pytest.mark.parametrize("people", [1, 300])
def test_a_jpeg_is_small_whatever_it_shows(people, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (16, 128, 64, 3), np.uint8)
    images = [png(pixels) for pixels in noise]
    rows = [
        (identity, camera, "visible", "test", images[(identity + camera) % 16])
        for identity in range(1, people + 1)
        for camera in range(1, 601 // people + 1)
    ]
    contact_sheet(table(*rows), tmp_path / "new" / "sheet.JPG", identities=people)
    content = (tmp_path / "new" / "sheet.JPG").read_bytes()
    assert 10_000 < len(content) < 200_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG" and min(image.size) > 30


@pytest.mark.parametrize("name", ["sheet.gif", "sheet", "jpg"])
def test_a_name_of_no_picture_is_reported(name, tmp_path):
    shown = table((1, 1, "visible", "test", png(33)))
    with pytest.raises(
        InputError, match=rf"{name} is not the name of a picture; it must end in \.jpg"
    ):
        contact_sheet(shown, tmp_path / name)
    assert not any(tmp_path.iterdir()) and ".gif" not in FORMATS


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "sheet.jpg").mkdir()
    with pytest.raises(InputError, match="is a folder; name a file"):
        contact_sheet(table((1, 1, "visible", "test", png(3))), tmp_path / "sheet.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.jpg"]


def test_people_are_called_by_the_names_of_their_folders(tmp_path):
    shown = table((1, 1, "visible", "test", png(3)), (2, 1, "visible", "test", png(3)))
    sheets = []
    for names in ({}, {1: "anna"}, {1: "anna", 2: "x" * 200}):
        contact_sheet(shown, tmp_path / "sheet.png", names=names)
        with Image.open(tmp_path / "sheet.png") as image:
            sheets.append(np.asarray(image.convert("L")))
    numbers, anna, long = sheets
    row = slice(HEADER, HEADER + ROW), slice(MARGIN)
    assert numbers.shape == anna.shape and (numbers[row] != anna[row]).any()
    assert (numbers[HEADER + ROW :] == anna[HEADER + ROW :]).all()
    assert MARGIN < long.shape[1] - WIDTH < 300  # the margin grows to a name, within reason
