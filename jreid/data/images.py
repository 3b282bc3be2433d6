"""Image files on disk: read, hashed, and decoded, as a check or to embed them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jreid.data.forms import to_decodable, to_pixels
from jreid.data.layouts.layout import Row
from jreid.data.pixels import ImageError
from jreid.files import read_limited

MAX_BYTES = 200_000_000  # bytes of a file: a BMP with the most pixels that an image may have
READ_AT_ONCE = 512  # images in memory, besides those that are being written


class Image(NamedTuple):
    """An image file: bytes to decode, or its fault.

    Attributes:
        content: of the file itself, or of its pixels if TensorFlow would read others.
        fault: the predicate of a sentence about the file; empty for a correct image.
        digest: SHA-256 of the file; empty if it cannot be read.
        counts: the least and the greatest raw count of an image of 16 bits per channel.
        turned: as in `forms.Decodable`.
    """

    row: Row
    content: bytes
    fault: str
    digest: str = ""
    counts: tuple[int, int] | None = None
    turned: bool = False


def read_images(
    rows: Sequence[Row],
    depth_range: tuple[int, ...] = (),
    check: Callable[[bytes], object] = lambda content: None,
) -> Iterator[Image]:
    """Reads and decodes every row's file, in order; a faulty file has empty content.

    Args:
        depth_range: as in `forms.to_decodable`.
        check: called on the content to decode, in a thread; an ImageError of it is the fault.
    """
    read, todo = partial(_read, depth_range=depth_range, check=check), iter(rows)
    with ThreadPoolExecutor() as pool:
        while some := list(islice(todo, READ_AT_ONCE)):
            yield from pool.map(read, some)


class ImageFiles:
    """Image files to embed, each read and decoded when it is asked for: a `ToEmbed`.

    A file that is no image is black, so that all of them can be named together.

    Attributes:
        digests: the SHA-256 of the files that were read, else empty.
        faults: the predicates of sentences about files that are no images, by row.
        turned: the rows of images that other programs turn, in any order.
    """

    def __init__(self, paths: Sequence[Path], depth_range: tuple[int, ...] = ()) -> None:
        """Of these files; `depth_range` as in `forms.to_decodable`."""
        self._paths, self._depth_range = paths, depth_range
        self.digests = [""] * len(paths)
        self.faults: dict[int, str] = {}
        self.turned: list[int] = []

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int, /) -> UInt8[np.ndarray, "h w 3"]:
        try:
            file = read_file(self._paths[row])
            self.digests[row] = hashlib.sha256(file).hexdigest()
            pixels, turned = to_pixels(file, self._depth_range)
        except ImageError as error:
            self.faults[row] = str(error)
            return np.zeros((1, 1, 3), np.uint8)
        if turned:
            self.turned.append(row)
        return pixels


def hash_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits; empty if it cannot be read."""
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except ImageError:
        return ""


def _read(row: Row, depth_range: tuple[int, ...], check: Callable[[bytes], object]) -> Image:
    digest = ""
    try:
        file = read_file(row.path)
        digest = hashlib.sha256(file).hexdigest()
        content, counts, turned = to_decodable(file, depth_range)
        check(content)
    except ImageError as error:
        fault, *counts = error.args
        return Image(row, b"", fault, digest, *counts)
    return Image(row, content, "", digest, counts, turned)


def read_file(path: Path) -> bytes:
    """The bytes of a file; ImageError if it is not a regular file, too large or unreadable."""
    try:
        return read_limited(path, MAX_BYTES)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ImageError(str(error).removeprefix("it ")) from error
