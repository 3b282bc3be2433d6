"""A contact sheet: one picture that shows a whole dataset."""

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from jreid.data.pixels import decode
from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.errors import InputError
from jreid.files import write_whole

WIDTH, HEIGHT = 64, 128  # of a shown image, in pixels
MARGIN, HEADER, GAP = 36, 22, 4  # for the identities, for the cameras, and below each row
COLUMN_GAP = 10
FONT_SIZE = 12
FEW_COLUMNS = 8  # up to this number, a column shows two images of each identity, else one
MAX_BYTES = 200_000  # of a JPEG
MAX_COLUMNS = 40
LONGEST_NAME = 20  # the most letters of a name that are shown
FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}

Column = tuple[int, int]  # camera, and the modality's place in MODALITIES
Person = dict[Column, list[bytes]]  # encoded images in order of name


def contact_sheet(
    table: Table, output: Path, identities: int = 8, names: Mapping[int, str] = {}
) -> None:
    """Draws identities by cameras: a column for each camera and modality, the first 40 of them.

    The identities are those of the test split, or else of the whole Table, that appear in the most
    columns, lower numbers first if equal.

    Args:
        output: a JPEG of under 200 KB, or a PNG, by its name.
        identities: the largest number to show.
        names: labels of identities in place of their numbers.

    Raises:
        InputError: `output` has another suffix or cannot be written.
    """
    file_format = format_of(output)
    people = _people(table)
    shown = sorted(people, key=lambda identity: (-len(people[identity]), identity))[:identities]
    columns = sorted({column for identity in shown for column in people[identity]})[:MAX_COLUMNS]
    rows = {names.get(identity, f"{identity:04d}"): people[identity] for identity in shown}
    sheet = _draw(rows, columns)
    content = _encode(sheet, file_format)
    write_whole(output, lambda file: file.write(content))


def format_of(output: Path) -> str:
    """The picture's format by its name; InputError if it is not supported."""
    if output.suffix.lower() not in FORMATS:
        raise InputError(
            f"{output} is not the name of a picture; it must end in {', '.join(FORMATS)}."
        )
    return FORMATS[output.suffix.lower()]


def _people(table: Table) -> dict[int, Person]:
    """The images to choose from, by identity."""
    tested = table.split == "test"
    rows = table.take(tested) if tested.any() else table
    people: dict[int, Person] = {}
    for _, identity, camera, modality, _, image in zip(*rows, strict=True):
        column = int(camera), MODALITIES.index(modality)
        people.setdefault(int(identity), {}).setdefault(column, []).append(image)
    return people


def _draw(people: dict[str, Person], columns: list[Column]) -> Image.Image:
    """One row for each person, by name."""
    images = 2 if len(columns) <= FEW_COLUMNS else 1
    step = images * WIDTH + COLUMN_GAP
    font = ImageFont.load_default(FONT_SIZE)
    labels = [shortened(name) for name in people]
    margin = margin_for(labels, MARGIN)
    size = (margin + len(columns) * step, HEADER + len(people) * (HEIGHT + GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for x, (camera, modality) in zip(range(margin, size[0], step), columns, strict=True):
        draw.text((x, 4), f"{MODALITIES[modality]} {camera}", "black", font)
    for y, label, person in zip(
        range(HEADER, size[1], HEIGHT + GAP), labels, people.values(), strict=True
    ):
        draw.text((4, y), label, "black", font)
        for x, column in zip(range(margin, size[0], step), columns, strict=True):
            for k, image in enumerate(person.get(column, [])[:images]):
                sheet.paste(_decode(image), (x + k * WIDTH, y))
    return sheet


def margin_for(labels: Iterable[str], least: int) -> int:
    """The width of a margin that holds the labels of rows, in pixels."""
    font = ImageFont.load_default(FONT_SIZE)
    return max([least, *(math.ceil(font.getlength(label)) + 8 for label in labels)])


def shortened(name: str) -> str:
    """A person's name as a label."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def _decode(content: bytes) -> Image.Image:
    """The image as training reads it."""
    return Image.fromarray(decode(content)).resize((WIDTH, HEIGHT))


def _encode(sheet: Image.Image, kind: str) -> bytes:
    """The sheet's file; for a JPEG the best quality, then the largest size, below the limit."""
    while True:
        for quality in (90, 80, 70, 60, 50, 35):
            content = io.BytesIO()
            sheet.save(content, kind, quality=quality)
            if kind == "png" or len(content.getvalue()) < MAX_BYTES:
                return content.getvalue()
        sheet = sheet.reduce(2)
