"""From a dataset's folder to its Table: checked, prepared once through TFDS, then read back."""

import contextlib
import hashlib
import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreid.data.table import Table
from jreid.data.transforms import decode
from jreid.errors import InputError

LARGEST_IMAGE = 50_000_000  # pixels; a file that says more is refused before it is decoded
FORMATS = ("JPEG", "PNG", "BMP")

# Wraps an iterable of known length to show its progress.
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


class Dataset(NamedTuple):
    """A Table and what its protocol needs beside it.

    Attributes:
        table: every image of the dataset.
        gallery_index: (camera, identity) to the trials' permutations of image numbers.
        fingerprint: SHA-256 of both.
    """

    table: Table
    gallery_index: Any
    fingerprint: str


def silent(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
    """A `Track` that shows nothing."""
    return items


def load(layout: str, folder: Path, prepared: Path, track: Track = silent) -> Dataset:
    """The dataset of a folder, prepared on first use.

    Args:
        layout: the module of `jreid.data` that knows the folder's layout, such as `sysu_mm01`.
        folder: the dataset as its authors ship it; only read.
        prepared: where prepared datasets are kept, each under a fingerprint of its folder's files,
            so that a changed folder is prepared anew.

    Raises:
        InputError: the folder is missing, incomplete, or holds a file that is no image.
    """
    import tensorflow_datasets as tfds

    module = importlib.import_module(f"jreid.data.{layout}")
    rows = module.list_images(folder)
    target = prepared / _listing_fingerprint(layout, module.list_files(folder), rows)
    builder = module.Builder(data_dir=target)
    if not builder.data_path.exists():
        check_images([row.path for row in rows], track)
        tfds.disable_progress_bar()
        options = tfds.download.DownloadConfig(manual_dir=folder.resolve())
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads; there are none
            builder.download_and_prepare(download_config=options)
    table = read_table(builder)
    index = module.gallery_index(builder)
    digest = hashlib.sha256(table.fingerprint().encode())
    for pair in sorted(index):
        digest.update(f"{pair}".encode() + index[pair].tobytes())
    return Dataset(table, index, digest.hexdigest())


def read_table(builder: Any) -> Table:
    """The Table of a prepared TFDS builder, in order of name, images as encoded bytes."""
    import tensorflow_datasets as tfds

    columns: dict[str, list[np.ndarray]] = {field: [] for field in Table._fields}
    for split in builder.info.splits:
        encoded = {"image": tfds.decode.SkipDecoding()}
        for part in tfds.as_numpy(builder.as_dataset(split=split, decoders=encoded).batch(1024)):
            for field in columns:
                columns[field].append(part[field])
    joined = {field: np.concatenate(parts) for field, parts in columns.items()}
    text = {field: joined[field].astype(str) for field in ("name", "modality", "split")}
    return Table(**{**joined, **text}).take(np.argsort(text["name"], kind="stable"))


def check_images(paths: Sequence[Path], track: Track = silent) -> None:
    """Decodes every file.

    Raises:
        InputError: a file is no image, is truncated or is too large; the first is named, and how
            many there are.
    """
    with ThreadPoolExecutor() as pool:
        told = track(pool.map(_fault, paths), "checking images", len(paths))
        faults = [(path, fault) for path, fault in zip(paths, told, strict=True) if fault]
    if faults:
        path, fault = faults[0]
        more = f" and {len(faults) - 1} more files are damaged" if len(faults) > 1 else ""
        raise InputError(f"{path} {fault}{more}; replace it.")


def _fault(path: Path) -> str | None:
    """What is wrong with a file: its header by Pillow, its content by the decoder of training."""
    import tensorflow as tf
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST_IMAGE:
                return f"has {image.width} x {image.height} pixels, more than {LARGEST_IMAGE:,}"
        decode(path.read_bytes())
    except UnidentifiedImageError:
        return f"is no {', '.join(FORMATS)} image"
    except Image.DecompressionBombError:
        return f"has more than {LARGEST_IMAGE:,} pixels"
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be read ({error})"
    except tf.errors.InvalidArgumentError:
        return "is damaged or of a form that cannot be decoded"
    return None


def _listing_fingerprint(layout: str, lists: Sequence[Path], rows: Sequence[Any]) -> str:
    """Names, splits, sizes and times of the folder's files, and its lists, as 16 digits."""
    digest = hashlib.sha256(layout.encode())
    for row in rows:
        stat = row.path.stat()
        digest.update(f"{row.name}\t{row.split}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    for path in lists:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
