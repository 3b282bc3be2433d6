"""Training images that are decoded and resized once (`config.data.cache=resized`).

They are in one file beside the packed images: a NumPy array, uint8 `[rows, H, W, 3]`, followed by
its SHA-256. It is mapped into memory, so that all processes of a machine share it.
Its name has a key of all that the values depend on, so images of another size or of other bytes are
in another file.
"""

import hashlib
import io
import itertools
import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8

from jreid.data.augmentation import Augmentation
from jreid.data.decoding import in_parallel, naming_the_image
from jreid.data.table import Table
from jreid.data.transforms import resize
from jreid.datasets import VISIBLE
from jreid.errors import InputError
from jreid.files import one_at_a_time, write_whole
from jreid.process import machine_memory
from jreid.progress import ProgressBar, explained, silent, with_progress

VERSION = 1  # increase this if the pixels change
CACHES = ("encoded", "resized")
BATCH = 64  # images that are written at once
PATIENCE = 1800.0  # seconds to wait for another process that makes the file
DIGEST = 32  # bytes of a SHA-256
Images = UInt8[np.ndarray, "rows h w 3"]
log = logging.getLogger(__name__)


def resized_images(
    table: Table, options: Augmentation, folder: Path, bar: ProgressBar = silent
) -> Images:
    """The table's images as `augment` has them before it flips and crops, from their file.

    The file is made if it is missing, by one of several processes that need it at once.

    Args:
        folder: of packed images, where the file is.

    Raises:
        InputError: the images fit neither into memory nor on the disk; the file cannot be written,
            or is damaged; or bytes that are not an image.
    """
    (height, width), count = options.size, len(table.name)
    shape = count, height, width, 3
    needs = (
        f"config.data.cache=resized needs {math.prod(shape) / 1e9:.2f} GB for {count:,} images of "
        f"{height} x {width} pixels"
    )
    if math.prod(shape) > (there := machine_memory()):
        raise InputError(
            f"{needs}, but this machine has {there / 1e9:.2f} GB of memory; set "
            "--config.data.cache=encoded, or a smaller --config.image.size."
        )
    path = folder / f"resized-{height}x{width}-{_key(table, options)}.npy"
    if not path.exists():
        with one_at_a_time(_place(folder), "resizes images", PATIENCE):
            if not path.exists():
                _make(path, shape, needs, _resized(table, options), bar)
    with explained(f"reading the resized images of {path}"):
        return _read(path, shape)


def _make(
    path: Path, shape: tuple[int, ...], needs: str, batches: Iterator[Images], bar: ProgressBar
) -> None:
    if math.prod(shape) > (free := _free_space(path.parent)):
        raise InputError(
            f"{needs}, but the disk of {path.parent} has {free / 1e9:.2f} GB free; free disk "
            "space, choose another folder by --config.data.prepared, or set "
            "--config.data.cache=encoded."
        )
    log.info("%s; they are decoded once, into %s", needs, path)
    write_whole(path, lambda file: _write(file, shape, batches, bar))


def _key(table: Table, options: Augmentation) -> str:
    """16 digits: a hash of the images' bytes, their order, and the way to resize them."""
    import tensorflow as tf

    way = options.size, options.resize, options.gray_visible, options.gray_infrared
    key = hashlib.sha256(f"{VERSION}\t{tf.__version__}\t{way}\n".encode())
    for image, modality in zip(table.image, table.modality, strict=True):
        key.update(hashlib.sha256(image).digest() + modality.encode())
    return key.hexdigest()[:16]


def _free_space(folder: Path) -> int:
    """Free bytes of the disk on which a folder is, or will be made."""
    return shutil.disk_usage(_place(folder)).free


def _place(folder: Path) -> Path:
    """The folder, or the one in which it will be made."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _resized(table: Table, options: Augmentation) -> Iterator[Images]:
    """The table's images in order, some at a time; InputError for bytes that are not an image."""
    import tensorflow as tf

    rows, visible = range(len(table.name)), table.modality == VISIBLE
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]

    def inputs() -> Iterator[tuple[Any, Any]]:
        for part in parts:
            yield table.image[part], visible[part]

    def resized(image: Any, visible: Any) -> Any:
        return resize(image, options, visible)

    signature = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.bool)
    batches = in_parallel(inputs, signature, resized, BATCH)
    for part in parts:
        # Later parts are decoded in advance, so the damaged image may be one of theirs.
        with naming_the_image(table.image, table.name, lambda part=part: rows[part[0] :]):
            yield next(batches)


def _write(
    file: BinaryIO, shape: tuple[int, ...], batches: Iterator[Images], bar: ProgressBar
) -> None:
    """Writes the array, and after it the SHA-256 of all that."""
    header, digest = io.BytesIO(), hashlib.sha256()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    parts = with_progress(batches, "resizing images", -(-shape[0] // BATCH), bar)
    for part in itertools.chain([header.getvalue()], (images.tobytes() for images in parts)):
        file.write(part)
        digest.update(part)
    file.write(digest.digest())


def _read(path: Path, shape: tuple[int, ...]) -> Images:
    """The array, mapped into memory, after comparing the file with its SHA-256."""
    try:
        content = np.memmap(path, np.uint8, "r")
        if hashlib.sha256(content[:-DIGEST].data).digest() != content[-DIGEST:].tobytes():
            raise ValueError("its content is not what was written")
        images = np.load(path, mmap_mode="r")
        if images.shape != shape:
            raise ValueError(f"it has images of the shape {images.shape}")
        return images
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({error}); remove it, and jreid makes it again."
        ) from error
