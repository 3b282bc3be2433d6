"""Reads all that a user may give as images: paths, folders, Pillow images and arrays."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from jreid.data.forms import Decoded, is_turned, to_pixels
from jreid.data.images import read_file
from jreid.data.pixels import MAX_PIXELS
from jreid.data.plain_folder import read_folder
from jreid.errors import InputError
from jreid.paths import from_here, local_path

Image: TypeAlias = str | os.PathLike[str] | PIL.Image.Image | UInt8[np.ndarray, "h w 3"]
Images: TypeAlias = Image | UInt8[np.ndarray, "n h w 3"] | Iterable[Image]
DEEP_MODES = ("F", "I")  # Pillow clips their values when it converts them to RGB
log = logging.getLogger(__name__)


class Source(NamedTuple):
    """An image that is read when it is needed.

    Attributes:
        name: the path as given; the path relative to its folder, with suffix; or `image 0`.
        read: returns the pixels, and whether other programs turn the image; ImageError if the file
            is not an image.
    """

    name: str
    read: Callable[[], Decoded]


class Contents:
    """The pixels of sources, each read when it is needed: a `ToEmbed`.

    Attributes:
        turned: the rows of the images that were read and that other programs turn, in any order.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.turned: list[int] = []

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, row: int, /) -> UInt8[np.ndarray, "h w 3"]:
        read = self._sources[row].read()
        if read.turned:
            self.turned.append(row)
        return read.pixels


def count(images: Images) -> int | None:
    """The number of images, if it is known without reading them; for a folder it is not."""
    if isinstance(images, str | os.PathLike):
        return None if os.path.isdir(images) else 1
    if isinstance(images, PIL.Image.Image) or getattr(images, "ndim", 0) == 3:
        return 1
    return len(images) if hasattr(images, "__len__") else None  # pyright: ignore[reportArgumentType]


def sources(images: Images, depth_range: tuple[int, ...] = ()) -> Iterator[Source]:
    """Yields the images in order; those of a folder sorted by name.

    Args:
        images: an image, many images, or a folder with its subfolders. An image is a path, a Pillow
            image, or a uint8 RGB array [H, W, 3]; an array [N, H, W, 3] holds many.
        depth_range: as in `jreid.data.forms.to_decodable`.

    Raises:
        InputError: a path does not exist, or a folder holds no image.
        ValueError: something that is not an image.
    """
    if isinstance(images, str | os.PathLike | PIL.Image.Image):
        yield from _of_one(images, 0, depth_range)
        return
    if hasattr(images, "__array__"):  # of numpy, JAX or PyTorch
        array = np.asarray(images)
        images = cast(Iterable[Image], array if array.ndim == 4 else [array])
    elif not isinstance(images, Iterable):
        raise _no_image("the image", images)
    for number, image in enumerate(images):
        yield from _of_one(image, number, depth_range)


def read_image(path: Path, depth_range: tuple[int, ...] = ()) -> Decoded:
    """The pixels of an image file; ImageError if it cannot be used as an image."""
    return to_pixels(read_file(path), depth_range)


def read_gallery(folder: Path) -> dict[str, Path]:
    """The images of a folder by relative path, with suffix; warns of files that are left out.

    Raises:
        InputError: as `jreid.data.plain_folder.read_folder`.
    """
    found = read_folder(folder)
    for note in found.notes:
        log.warning("%s: %s", folder, note)
    return {path.relative_to(folder).as_posix(): path for path in found.paths}


def _of_one(image: object, number: int, depth_range: tuple[int, ...]) -> Iterator[Source]:
    if isinstance(image, str | os.PathLike):
        yield from _of_path(Path(local_path(os.fspath(image), "image")), depth_range)
        return
    name = f"image {number}"
    pixels = (
        _of_pillow(name, image) if isinstance(image, PIL.Image.Image) else _of_array(name, image)
    )
    turned = isinstance(image, PIL.Image.Image) and is_turned(image)
    # A copy: a generator may yield the same array each time.
    read = Decoded(np.array(pixels), turned)
    yield Source(name, lambda: read)


def _of_path(path: Path, depth_range: tuple[int, ...]) -> Iterator[Source]:
    if os.path.isdir(path):
        for place, file in read_gallery(path).items():
            yield Source(place, partial(read_image, file, depth_range))
    elif os.path.exists(path):
        yield Source(str(path), partial(read_image, path, depth_range))
    else:
        raise InputError(
            f"{from_here(path)} does not exist; give the path of an image or a folder."
        )


def _of_pillow(name: str, image: PIL.Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode.startswith(DEEP_MODES):
        raise ValueError(
            f"{name} has more than 8 bits per channel (Pillow's mode {image.mode}); scale it to 8 "
            "bits and convert it to RGB."
        )
    _check_size(name, image.height, image.width)
    try:
        image = image.copy()
        image.info.pop("transparency", None)  # Pillow warns that it drops a palette's
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise InputError(f"{name} cannot be decoded ({error}); replace it.") from error


def _of_array(name: str, image: object) -> UInt8[np.ndarray, "h w 3"]:
    if not hasattr(image, "__array__"):
        raise _no_image(name, image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"{name} is {array.dtype}{list(array.shape)}; it must be uint8 [H, W, 3], RGB."
        )
    _check_size(name, *array.shape[:2])
    return array


def _check_size(name: str, height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"{name} has {height} x {width} pixels; give 1 to {MAX_PIXELS:,}.")


def _no_image(name: str, given: object) -> ValueError:
    return ValueError(
        f"{name} is a {type(given).__name__}; give a path, an image of Pillow's, or a uint8 array "
        "[H, W, 3]."
    )
