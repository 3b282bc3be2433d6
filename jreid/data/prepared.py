"""Images packed for fast reading: TFDS stores the images of each camera, completely or not at all.

A camera's copy is identified by the names and contents of its files, which are hashed each time:
sizes and times are not enough, since all of RegDB's files have the same size and archives keep
their times. An interrupted preparation resumes with the unfinished cameras, and a changed file
repeats only its camera.
"""

import contextlib
import hashlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from jreid.data.forms import TURNED, VERSION
from jreid.data.images import Image, hash_file, read_images
from jreid.data.layouts.layout import Row
from jreid.data.pixels import ImageError
from jreid.data.transforms import decode
from jreid.data.whole_folder import whole_folder
from jreid.errors import InputError
from jreid.progress import ProgressBar, silent, with_progress

log = logging.getLogger(__name__)
HASHED_AT_ONCE = 256  # files; passing a single one to a thread takes longer than hashing it


def pack(
    rows: Sequence[Row],
    folder: Path,
    bar: ProgressBar = silent,
    depth_range: tuple[int, ...] = (),
) -> Iterator[Image]:
    """The rows' images from their packed copies in `folder`, which are created if missing.

    Args:
        depth_range: as in `forms.to_decodable`.

    Raises:
        InputError: a packed copy is damaged or cannot be written, or an image changes meanwhile.
    """
    by_part: dict[str, list[Row]] = {}
    turned: list[Path] = []
    for row in rows:
        by_part.setdefault(f"{row.modality}_{row.camera}", []).append(row)
    with _hashing(by_part) as hashing:
        for part, part_rows in by_part.items():
            camera, digests = part.replace("_", " camera "), []
            for future in with_progress(
                hashing[part], f"hashing {camera}", len(hashing[part]), bar
            ):
                digests += future.result()
            place = folder / f"{part}-{_key(part_rows, digests, depth_range)}"
            if not place.exists():
                reading = read_images(part_rows, depth_range, check_for_training)
                reading = with_progress(reading, f"preparing {camera}", len(part_rows), bar)
                _write(place, _unchanged(reading, digests, turned))
            known = dict(zip((row.name for row in part_rows), digests, strict=True))
            for image in _read_back(place, {row.name: row for row in part_rows}):
                yield image._replace(digest=known[image.row.name])
    if turned:
        log.warning("%s %s", turned[0], TURNED.format(number=len(turned)))


def check_for_training(content: bytes) -> None:
    """Raises ImageError if TensorFlow, which decodes in training and is stricter, cannot decode."""
    try:
        decode(content)
    except tf.errors.InvalidArgumentError:
        raise ImageError("is damaged or in a format that cannot be decoded") from None


@contextlib.contextmanager
def _hashing(by_part: Mapping[str, Sequence[Row]]) -> Iterator[dict[str, list[Future[list[str]]]]]:
    """Hashes the files on threads, one part after the other, while the parts are read back."""
    pool = ThreadPoolExecutor()

    def hashed(rows: Sequence[Row]) -> list[str]:
        return [hash_file(row.path) for row in rows]

    try:
        yield {
            part: [
                pool.submit(hashed, rows[start : start + HASHED_AT_ONCE])
                for start in range(0, len(rows), HASHED_AT_ONCE)
            ]
            for part, rows in by_part.items()
        }
    finally:
        pool.shutdown(cancel_futures=True)


def _key(rows: Sequence[Row], digests: Sequence[str], depth_range: tuple[int, ...]) -> str:
    """The key of a packed copy, 16 digits: a hash of names, contents and preparation."""
    key = hashlib.sha256(f"{VERSION}\t{depth_range}\n".encode())
    for row, digest in zip(rows, digests, strict=True):
        key.update(f"{row.name}\t{digest}\n".encode())
    return key.hexdigest()[:16]


def _unchanged(
    images: Iterable[Image], digests: Sequence[str], turned: list[Path]
) -> Iterator[Image]:
    """The images; raises an error if their files have changed since they were hashed.

    The paths of images with an EXIF orientation are added to `turned`.
    """
    for image, digest in zip(images, digests, strict=True):
        if image.digest != digest:
            raise InputError(
                f"{image.row.path} changed while it was packed; wait until no program writes to "
                "the dataset's folder and give the command again."
            )
        if image.turned:
            turned.append(image.row.path)
        yield image


class LocalInfo(tfds.core.DatasetInfo):
    """What TFDS knows about packed images."""

    def initialize_from_bucket(self) -> None:
        """Does nothing. TFDS would look for a published dataset, and leave an empty folder behind
        in the folder for temporary files.
        """


class PackedImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The images of one camera, or their faults; labels come from the listing."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, images: Iterator[Image], **arguments: Any) -> None:
        self.images = images
        super().__init__(**arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features = {"name": text, "image": text, "fault": text}
        return LocalInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"images": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for image in self.images:
            name = image.row.name
            yield name, {"name": name, "image": image.content, "fault": image.fault}


def _write(place: Path, images: Iterator[Image]) -> None:
    tfds.disable_progress_bar()
    try:
        with whole_folder(place) as folder, contextlib.redirect_stdout(io.StringIO()):
            # Its standard output reports downloads, but there are none.
            PackedImages(images, data_dir=folder).download_and_prepare()
    except (OSError, tf.errors.OpError) as error:
        message = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise InputError(
            f"{place} cannot be written ({message}); free disk space, or choose another folder for "
            "packed images by --config.data.prepared."
        ) from error


def _read_back(place: Path, rows: dict[str, Row]) -> Iterator[Image]:
    # One file after the other in small parts: a dataset's bytes should be in memory once.
    reading = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    try:
        builder = PackedImages(iter(()), data_dir=place)
        stored = cast(Any, builder).as_dataset(split="images", read_config=reading)
        for part in tfds.as_numpy(stored.batch(64)):
            columns = part["name"], part["image"], part["fault"]
            for name, content, fault in zip(*columns, strict=True):
                yield Image(rows[name.decode()], content, fault.decode())
    except (tf.errors.OpError, json_format.ParseError, AssertionError, KeyError) as error:
        raise InputError(f"{place} is damaged; remove it, and jreid creates it again.") from error
