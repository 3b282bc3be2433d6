"""Image formats: an image that TensorFlow and Pillow decode differently becomes a BMP.

Training decodes by TensorFlow, embedding by Pillow, and both see the same pixels: those of
`Image.open(path).convert("RGB")`. Palettes are applied, alpha is dropped, and EXIF's orientation is
ignored, as in the released loaders and torchvision's. TensorFlow itself is not needed here.
"""

import io
import struct
from typing import NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import Int, UInt8

from jreid.data.pixels import ImageError, decode
from jreid.errors import InputError

VERSION = 1  # increase this if the bytes of an image change
DEPTH = 1 << 16  # values of a deep image
ORIENTATION = 0x0112  # the tag of EXIF
UPRIGHT = 1
DEEP = (
    "has 16 bits per channel; choose the values that become black and white by "
    "--config.data.depth_range='(LOW,HIGH)' (`jreid data check` shows the values)"
)
TURNED = (
    "has an EXIF orientation (such images in all: {number:,}), by which other programs turn it; "
    "jreid takes the pixels as they are stored, also in training: save images upright if people "
    "lie on their side in them, such as by Pillow's ImageOps.exif_transpose"
)
# In place of DEEP for images that a finished run embeds: its config can no longer be changed.
DEEP_FOR_RUN = (
    "has 16 bits per channel, which this run cannot read (its config.data.depth_range is empty); "
    "convert it to 8 bits"
)


class Decoded(NamedTuple):
    """The pixels of an image, and whether other programs turn it, as in `Decodable`."""

    pixels: UInt8[np.ndarray, "h w 3"]
    turned: bool = False


class Decodable(NamedTuple):
    """Bytes from which `decode` gives Pillow's pixels.

    Attributes:
        content: an encoded image of 8 bits per channel; the file's own bytes if possible.
        counts: the least and the greatest value of a deep image before it was stretched, else None.
        turned: whether the file has an EXIF orientation by which other programs turn the image.
    """

    content: bytes
    counts: tuple[int, int] | None = None
    turned: bool = False


def check_depth_range(depth_range: tuple[int, ...]) -> None:
    """Raises InputError unless it is empty or two values, the lower one first."""
    whole = all(type(count) is int and 0 <= count < DEPTH for count in depth_range)
    if depth_range and not (whole and len(depth_range) == 2 and depth_range[0] < depth_range[1]):
        raise InputError(
            f"config.data.depth_range={depth_range} cannot be used; it must be empty or two whole "
            f"numbers LOW,HIGH of 0 to {DEPTH - 1:,}, LOW below HIGH."
        )


def to_decodable(content: bytes, depth_range: tuple[int, ...] = ()) -> Decodable:
    """Makes a file's bytes decodable; ordinary JPEG, PNG and BMP files do not change.

    Args:
        depth_range: `()`, or the raw counts of a deep image (16 bits per channel) that become 0 and
            255; those between are linear, rounded, and those beyond are clipped.

    Raises:
        ImageError: damaged, too large, of another format; or `DEEP` without a `depth_range`, with
            the counts as its second argument.
    """
    return _to_decodable(content, decode(content), depth_range)


def to_pixels(content: bytes, depth_range: tuple[int, ...] = ()) -> Decoded:
    """An image file's pixels, for a finished run: those of `to_decodable`'s bytes, decoded once.

    Raises:
        ImageError: as `to_decodable`, with the remedy of a run that is finished.
    """
    pixels = decode(content)
    try:
        made, _, turned = _to_decodable(content, pixels, depth_range)
    except ImageError as error:
        raise ImageError(fault_for_run(error.args[0])) from error
    return Decoded(pixels if made is content else decode(made), turned)


def fault_for_run(fault: str) -> str:
    """The fault of an image that a finished run embeds."""
    return DEEP_FOR_RUN if fault == DEEP else fault


def _to_decodable(
    content: bytes, pixels: UInt8[np.ndarray, "h w 3"], depth_range: tuple[int, ...]
) -> Decodable:
    if content.startswith(b"\x89PNG"):
        return _to_decodable_png(content, depth_range)
    if content.startswith(b"BM"):
        return Decodable(content if _is_plain_bmp(content, pixels) else bmp(pixels))
    with PIL.Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        plain = image.mode in ("L", "RGB")
        return Decodable(content if plain else bmp(pixels), turned=is_turned(image))


def is_turned(image: PIL.Image.Image) -> bool:
    """Whether an image has an EXIF orientation by which other programs turn or mirror it."""
    try:
        return image.getexif().get(ORIENTATION, UPRIGHT) in range(UPRIGHT + 1, 9)
    except Exception:  # Pillow raises several kinds for damaged EXIF, which says nothing
        return False


def _to_decodable_png(content: bytes, depth_range: tuple[int, ...]) -> Decodable:
    """For a PNG that Pillow decodes; with 8 bits or less, TensorFlow reads the same pixels."""
    try:
        with PIL.Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            raw_modes = [str(tile[3]) for tile in image.tile]
            image.verify()  # Pillow accepts a file without its end, TensorFlow does not
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"cannot be read ({error})") from error
    deep = next((raw_mode for raw_mode in raw_modes if "16" in raw_mode), None)
    # EXIF may follow the pixels, which Pillow then decodes once more.
    turned = b"eXIf" in content and is_turned(PIL.Image.open(io.BytesIO(content), formats=["PNG"]))
    if deep:
        return _stretch(_counts(content, deep), depth_range)._replace(turned=turned)
    return Decodable(content, turned=turned)


def _counts(content: bytes, raw_mode: str) -> Int[np.ndarray, "h w c"]:
    """The raw counts of a PNG of 16 bits per channel, without alpha.

    For color images, Pillow keeps only the high bytes. The low bytes come from reading the file
    again with the other byte order.

    Args:
        raw_mode: the layout of the file's bytes, in Pillow's words.
    """

    def read(raw_mode: str) -> np.ndarray:
        with PIL.Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
            return np.asarray(image).astype(np.uint16)

    if raw_mode.startswith("I"):
        return read(raw_mode)[..., None]
    if raw_mode.startswith("LA"):  # four bytes as four channels
        both = read("RGBA")
        return both[..., :1] << 8 | both[..., 1:2]
    return (read(raw_mode) << 8 | read(raw_mode.replace("16B", "16L")))[..., :3]


def _stretch(counts: Int[np.ndarray, "h w c"], depth_range: tuple[int, ...]) -> Decodable:
    extremes = int(counts.min()), int(counts.max())
    if not depth_range:
        raise ImageError(DEEP, extremes)
    low, high = depth_range
    levels = (np.clip(counts, low, high).astype(np.int64) - low) * 510 + (high - low)
    levels = (levels // (2 * (high - low))).astype(np.uint8)
    return Decodable(bmp(np.broadcast_to(levels, (*levels.shape[:2], 3))), extremes)


def _is_plain_bmp(content: bytes, pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether a reader that ignores palettes, masks and compression reads the same pixels."""
    start, _, width, height, _, bits = struct.unpack_from("<IIiiHH", content.ljust(30, b"\0"), 10)
    channels, line = bits // 8, (bits * width + 31) // 32 * 4
    if bits not in (8, 24, 32) or width < 1 or len(content) < start + line * abs(height):
        return False
    lines = np.frombuffer(content, np.uint8, line * abs(height), start).reshape(-1, line)
    read = lines[:: -1 if height > 0 else 1, : width * channels].reshape(-1, width, channels)
    return np.array_equal(np.repeat(read, 3, 2) if channels == 1 else read[..., 2::-1], pixels)


def bmp(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The pixels as a BMP: lossless, the same bytes for every release of Pillow or zlib."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).save(content, "BMP")
    return content.getvalue()
