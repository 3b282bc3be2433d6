"""Images packed for reading: TFDS keeps the images of each camera, made once, all or none.

A camera's copy is found again by its files' names, sizes and times, so that an interrupted
preparation goes on with the cameras that are not done, and a changed file costs one camera.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from jreid.data.images import Image, Track, read_images, silent
from jreid.data.listing import Row
from jreid.errors import InputError


def pack(rows: Sequence[Row], folder: Path, track: Track = silent) -> Iterator[Image]:
    """The rows' images from their packed copies in `folder`, which are made where they lack.

    Raises:
        InputError: a packed copy is damaged.
    """
    by_part: dict[str, list[Row]] = {}
    for row in rows:
        by_part.setdefault(f"{row.modality}_{row.camera}", []).append(row)
    for part, part_rows in by_part.items():
        place = folder / f"{part}-{_fingerprint(part_rows)}"
        with _naming(place):
            builder = PackedImages(part_rows, part, track, data_dir=place)
        if not builder.data_path.exists():
            tfds.disable_progress_bar()
            with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads: none here
                builder.download_and_prepare()
        with _naming(place):
            yield from _read_back(builder, {row.name: row for row in part_rows})


@contextlib.contextmanager
def _naming(place: Path) -> Iterator[None]:
    """Tells which packed copy is damaged, in whatever way its readers find out."""
    try:
        yield
    except (tf.errors.OpError, json_format.ParseError, AssertionError, KeyError) as error:
        raise InputError(f"{place} is damaged; remove it, it is made again.") from error


class PackedImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The images of one camera, or what is wrong with them; labels come from the listing."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, rows: Sequence[Row], part: str, track: Track, **arguments: Any) -> None:
        self.rows, self.part, self.track = rows, part, track
        super().__init__(**arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features = {"name": text, "image": text, "fault": text}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"images": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        told = f"preparing {self.part.replace('_', ' camera ')}"
        for row, content, fault in self.track(read_images(self.rows), told, len(self.rows)):
            yield row.name, {"name": row.name, "image": content, "fault": fault}


def _read_back(builder: PackedImages, rows: dict[str, Row]) -> Iterator[Image]:
    # One file after the other and little at once: a dataset's bytes should be in memory once.
    reading = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    stored = cast(Any, builder).as_dataset(split="images", read_config=reading)
    for part in tfds.as_numpy(stored.batch(64)):
        for name, content, fault in zip(part["name"], part["image"], part["fault"], strict=True):
            yield Image(rows[name.decode()], content, fault.decode())


def _fingerprint(rows: Sequence[Row]) -> str:
    """Names, sizes and times of the files, as 16 digits."""
    digest = hashlib.sha256()
    for row in rows:
        stat = row.path.stat()
        digest.update(f"{row.name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
