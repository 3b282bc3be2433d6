"""A picture of a whole dataset in SYSU-MM01's folder layout, to look at it at a glance."""

import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from jreid.data.rendering.cameras import CAMERAS
from jreid.errors import InputError

WIDTH, HEIGHT = 64, 128  # of a shown image, in pixels
IMAGES = 2  # of each identity in each camera
MARGIN, HEADER, GAP = 36, 22, 4  # for the identities, for the cameras, and below each row
COLUMN = IMAGES * WIDTH + 10
MOST_BYTES = 200_000


def contact_sheet(folder: Path, output: Path, identities: int = 8) -> None:
    """Writes a JPEG of under 200 KB to `output`: identities by cameras, two images each.

    The identities are those of the test set that the most cameras saw, the first among equals.

    Raises:
        InputError: `folder` has no list of test identities.
    """
    shown = _identities(folder)[:identities]
    size = (MARGIN + len(CAMERAS) * COLUMN, HEADER + len(shown) * (HEIGHT + GAP))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, camera in enumerate(CAMERAS):
        spectrum = "infrared" if camera.infrared else "visible"
        draw.text((MARGIN + column * COLUMN, 4), f"{camera.number} {spectrum}", "black", font)
    for row, identity in enumerate(shown):
        y = HEADER + row * (HEIGHT + GAP)
        draw.text((4, y), f"{identity:04d}", "black", font)
        for column, camera in enumerate(CAMERAS):
            files = sorted(_place(folder, camera.number, identity).glob("[!.]*.jpg"))[:IMAGES]
            for k, file in enumerate(files):
                with Image.open(file) as image:
                    resized = image.convert("RGB").resize((WIDTH, HEIGHT))
                sheet.paste(resized, (MARGIN + column * COLUMN + k * WIDTH, y))
    _save(sheet, output)


def _place(folder: Path, camera: int, identity: int) -> Path:
    return folder / f"cam{camera}" / f"{identity:04d}"


def _identities(folder: Path) -> list[int]:
    """The test identities, those that the most cameras saw first."""
    path = folder / "exp" / "test_id.txt"
    if not path.is_file():
        raise InputError(f"{path} is missing: name a folder in SYSU-MM01's layout")
    identities = [int(number) for number in re.findall(r"\d+", path.read_text())]

    def unseen(identity: int) -> int:
        return sum(not _place(folder, camera.number, identity).is_dir() for camera in CAMERAS)

    return sorted(identities, key=unseen)


def _save(sheet: Image.Image, output: Path) -> None:
    for quality in (90, 80, 70, 60, 50, 35):
        sheet.save(output, quality=quality)
        if output.stat().st_size < MOST_BYTES:
            return
