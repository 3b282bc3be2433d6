"""Forms of image: what TensorFlow decodes otherwise than Pillow becomes a BMP of Pillow's pixels.

Pillow's pixels are those of `Image.open(path).convert("RGB")`: palettes are applied, alpha is
dropped, and EXIF's orientation is left alone, as in the released loaders.
"""

import io
from typing import Any, NamedTuple

import numpy as np

from jreid.data.transforms import decode
from jreid.errors import InputError

MAX_PIXELS = 50_000_000  # a file that says more is refused before it is decoded
FORMATS = ("JPEG", "PNG", "BMP")
VERSION = 1  # raised whenever an image becomes other bytes than before
DEPTH = 1 << 16  # values of a deep image
DEEP = (
    "has 16 bits a channel; say which raw counts become black and white by "
    "--config.data.depth_range='(LOW,HIGH)' (`jreid data check` shows the counts)"
)


class ImageError(Exception):
    """What is wrong with an image, to be read after its name."""


class Decodable(NamedTuple):
    """Bytes from which `decode` gives Pillow's pixels.

    Attributes:
        content: an encoded image of 8 bits a channel; the file's own bytes wherever they will do.
        counts: the least and the greatest value of a deep image before it was stretched, else None.
    """

    content: bytes
    counts: tuple[int, int] | None = None


def check_depth_range(depth_range: tuple[int, ...]) -> None:
    """Raises InputError unless it is empty or two raw counts, the lower one first."""
    whole = all(type(count) is int and 0 <= count < DEPTH for count in depth_range)
    if depth_range and not (whole and len(depth_range) == 2 and depth_range[0] < depth_range[1]):
        raise InputError(
            f"config.data.depth_range={depth_range} cannot be used; it must be empty or two whole "
            f"numbers LOW,HIGH of 0 to {DEPTH - 1:,}, LOW below HIGH."
        )


def to_decodable(content: bytes, depth_range: tuple[int, ...] = ()) -> Decodable:
    """Makes a file's bytes decodable; ordinary JPEG, PNG and BMP files stay as they are.

    Args:
        depth_range: `()`, or the raw counts of a deep image (16 bits a channel) that become 0 and
            255; those between are linear, rounded, and those beyond are clipped.

    Raises:
        ImageError: damaged, too large, of another format; or `DEEP` without a `depth_range`, with
            the counts as its second argument.
    """
    import PIL.Image
    import tensorflow as tf

    try:
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height} pixels"
                raise ImageError(f"has {size}, more than {MAX_PIXELS:,}")
            if any("16" in str(tile[3]) for tile in image.tile) and image.format == "PNG":
                return _stretch(content, depth_range)
            if image.format == "JPEG" and image.mode in ("L", "RGB"):
                decode(content)
                return Decodable(content)
            image.info.pop(
                "transparency", None
            )  # of a palette's colors: Pillow warns that it drops
            pixels = image.convert("RGB")
        return Decodable(content if _decodes_to(content, np.asarray(pixels)) else _bmp(pixels))
    except PIL.UnidentifiedImageError:
        raise ImageError(f"is no {', '.join(FORMATS)} image") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"has more than {MAX_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"cannot be read ({error})") from error
    except tf.errors.InvalidArgumentError:
        raise ImageError("is damaged or of a form that cannot be decoded") from None


def _decodes_to(content: bytes, pixels: np.ndarray) -> bool:
    import tensorflow as tf

    try:
        return np.array_equal(decode(content), pixels)
    except tf.errors.InvalidArgumentError:
        return False


def _stretch(content: bytes, depth_range: tuple[int, ...]) -> Decodable:
    import PIL.Image
    import tensorflow as tf

    values = tf.io.decode_png(content, channels=3, dtype=tf.uint16).numpy().astype(np.int64)
    counts = int(values.min()), int(values.max())
    if not depth_range:
        raise ImageError(DEEP, counts)
    low, high = depth_range
    levels = (np.clip(values, low, high) - low) * 510 + (high - low)
    levels = (levels // (2 * (high - low))).astype(np.uint8)
    return Decodable(_bmp(PIL.Image.fromarray(levels)), counts)


def _bmp(image: Any) -> bytes:
    """A Pillow image without loss: the same bytes whatever the release of Pillow or zlib."""
    content = io.BytesIO()
    image.save(content, "BMP")
    return content.getvalue()
