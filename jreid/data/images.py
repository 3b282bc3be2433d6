"""Image files on disk: read whole, decoded once to know that they can be."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from jreid.data.listing import Row
from jreid.data.transforms import decode

LARGEST_IMAGE = 50_000_000  # pixels; a file that says more is refused before it is decoded
LARGEST_FILE = 200_000_000  # bytes, a BMP of that many pixels
FORMATS = ("JPEG", "PNG", "BMP")
READ_AT_ONCE = 512  # images held beside those that are written

# Wraps an iterable of known length to show its progress.
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


def silent(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
    """A `Track` that shows nothing."""
    return items


class Image(NamedTuple):
    """An image file: its bytes, or what is wrong with it."""

    row: Row
    content: bytes
    fault: str


def read_images(rows: Sequence[Row]) -> Iterator[Image]:
    """Reads and decodes every row's file, in order; a faulty one comes with empty content."""
    todo = iter(rows)
    with ThreadPoolExecutor() as pool:
        while some := list(islice(todo, READ_AT_ONCE)):
            yield from pool.map(_read, some)


def _read(row: Row) -> Image:
    fault = _fault(row.path)
    return Image(row, b"" if fault else row.path.read_bytes(), fault)


def _fault(path: Path) -> str:
    """What is wrong with a file: its header by Pillow, its content by the decoder of training."""
    import PIL.Image
    import tensorflow as tf

    try:
        if path.stat().st_size > LARGEST_FILE:
            return f"is larger than {LARGEST_FILE:,} bytes"
        with PIL.Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST_IMAGE:
                return f"has {image.width} x {image.height} pixels, more than {LARGEST_IMAGE:,}"
        decode(path.read_bytes())
    except PIL.UnidentifiedImageError:
        return f"is no {', '.join(FORMATS)} image"
    except PIL.Image.DecompressionBombError:
        return f"has more than {LARGEST_IMAGE:,} pixels"
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be read ({error})"
    except tf.errors.InvalidArgumentError:
        return "is damaged or of a form that cannot be decoded"
    return ""
