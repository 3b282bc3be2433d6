"""Writes embeddings as a folder of Parquet parts, which several jobs may share and start again."""

import contextlib
import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jreid.engine.model import EMBEDDING
from jreid.errors import InputError
from jreid.evaluation.results.feature_formats import ORIGIN
from jreid.evaluation.results.parquet import (
    OF_IMAGES,
    OF_PART,
    PART,
    DamagedError,
    files_in,
    first_difference,
    read_about,
    read_parquet,
    require_pyarrow,
    shortened,
    write_part,
)
from jreid.progress import ProgressBar, silent

log = logging.getLogger(__name__)

PART_IMAGES = 4096  # of a part, which one job embeds
DTYPES = ("float32", "float16")
# Metadata in which a part that is there may differ from this command.
MAY_DIFFER = (*OF_PART, *OF_IMAGES, ORIGIN)
AUTHOR = ("jreid", "run")  # metadata that a kept part keeps: what computed its embeddings


class Share(NamedTuple):
    """The parts that a job writes: every `of`-th one, from `number` on; their type and size."""

    number: int = 0
    of: int = 1
    dtype: str = DTYPES[0]
    part_images: int = PART_IMAGES

    def parts(self, images: int) -> int:
        """The number of parts of all jobs together."""
        return -(-images // self.part_images)


class Images(NamedTuple):
    """What is embedded: N images in their order, and how.

    Attributes:
        names: of the images.
        labels: `identities`, `cameras` and `modalities`, `[N]` each; None stands for unknown ones.
        digests: the SHA-256 of the images of some rows.
        embed: the SHA-256 and the embeddings of the images of some rows.
        origin: of the features, if they are of a dataset.
    """

    names: Sequence[str]
    labels: Mapping[str, Sequence[Any]]
    digests: Callable[[slice], list[str]]
    embed: Callable[[slice, ProgressBar], tuple[list[str], Float[np.ndarray, "n d"]]]
    origin: Mapping[str, Any] | None = None


class Written(NamedTuple):
    """What a job has done: the numbers of all images and parts, of parts written and kept."""

    images: int
    parts: int
    written: int
    kept: int


class _Part(NamedTuple):
    """A part, whether its images were embedded for it, and whether it has to be written."""

    arrays: Mapping[str, Any]
    about: Mapping[str, Any]
    embedded: bool = True
    changed: bool = True


def read_share(text: str | None, dtype: str | None, part_images: int | None = None) -> Share:
    """The share of `2/8`: the third of eight; all parts without a text.

    Raises:
        InputError: it is not a number from 0 and a larger number; or a part has no image.
    """
    match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text or "0/1")
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(
            f"--shard={text} is not a share; give I/N with I from 0 to N - 1: 0/8, 1/8, ... 7/8."
        )
    if part_images is not None and part_images < 1:
        raise InputError(f"--part-images={part_images} is not a number of images; give 1 or more.")
    return Share(int(match[1]), int(match[2]), dtype or DTYPES[0], part_images or PART_IMAGES)


def has_part(share: Share, images: int) -> bool:
    """Whether a job has a part to write; warns if there are fewer parts than jobs."""
    parts = share.parts(images)
    if parts < share.of:
        log.warning(
            "%d images in parts of %d are %d parts, so only %d of %d jobs have work; "
            "choose a smaller --part-images.",
            *(images, share.part_images, parts, parts, share.of),
        )
    return share.number < parts


def write_parts(
    output: Path,
    images: Images,
    about: Mapping[str, Any],
    share: Share,
    bar: ProgressBar = silent,
) -> Written:
    """Writes this job's parts; those that are there, of the same images and model, are kept.

    A damaged part is replaced. While a part is written, the next one is embedded.

    Args:
        output: the folder; jobs may write into it at the same time.
        about: metadata of every part: what decides the embeddings.

    Raises:
        InputError: a part of another model or with other options is there, or one cannot be
            written; or this is one of several processes.
    """
    if jax.process_count() > 1:
        raise InputError("a .parquet folder is shared by --shard=I/N, not by several processes.")
    require_pyarrow()  # before anything is embedded
    N, parts = len(images.names), share.parts(len(images.names))
    about = {**about, "dtype": share.dtype, "part_images": share.part_images}
    about |= {"images": N, "parts": parts, "names": _digest(images.names)}
    about |= {ORIGIN: images.origin} if images.origin else {}
    about = json.loads(json.dumps(about))  # as it will be read
    _check_model(output, about)
    mine = range(share.number, parts, share.of)
    total, done, written = len(mine) * share.part_images, 0, 0
    writing: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        for number in mine:
            rows = slice(number * share.part_images, min(N, (number + 1) * share.part_images))

            def show(_: str, more: int, many: int, before: int = done) -> None:
                bar(EMBEDDING, before + more, max(total, before + many))

            file = output / PART.format(number)
            part = _part(file, images, rows, {**about, "part": number}, show)
            for earlier in writing:
                earlier.result()
            writing = []
            if part.changed:
                writing = [pool.submit(write_part, file, part.arrays, part.about)]
            written += part.embedded
            done += rows.stop - rows.start
        for last in writing:
            last.result()
    return Written(N, parts, written, len(mine) - written)


def _digest(names: Sequence[str]) -> str:
    """16 digits: a hash of all names, so that parts of other images are no part of the whole."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _check_model(output: Path, about: Mapping[str, Any]) -> None:
    """Raises InputError if the first readable part in the folder is of another model."""
    for file in files_in(output):
        with contextlib.suppress(DamagedError):
            _read_same(file, about)
            return


def _read_same(file: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a part; InputError if its embeddings were not made in the same way."""
    before = read_about(file)
    same = {name: value for name, value in about.items() if name not in MAY_DIFFER}
    found = first_difference(same, {name: before.get(name) for name in same})
    if found:
        name, here, there = found[0], *map(shortened, found[1:])
        raise InputError(
            f"{file} has embeddings with another {name} ({there}, here {here}); give the run and "
            "the flags that it was written with, or another --output."
        )
    return before


def _part(
    file: Path, images: Images, rows: slice, about: Mapping[str, Any], bar: ProgressBar
) -> _Part:
    """The part of some images, which are embedded unless the file has their embeddings."""
    labels = {name: [*column[rows]] for name, column in images.labels.items()}
    labels["names"] = [*images.names[rows]]
    if found := _kept(file, images, rows, about):
        kept, before = found
        about = {**about, **{name: before[name] for name in AUTHOR if name in before}}
        return _Part({**kept, **labels}, about, False, before != {**before, **about})
    digests, features = images.embed(rows, bar)
    features = _as_type(file, features, about["dtype"])
    return _Part({"features": features, "digests": digests, **labels}, about)


def _kept(
    file: Path, images: Images, rows: slice, about: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and the metadata of a part that is there; None if it must be embedded."""
    if not file.exists():
        return None
    try:
        before = _read_same(file, about)
    except DamagedError:
        return _damaged(file)
    try:
        arrays, _ = read_parquet(file, ("features", "names", "digests"))
    except InputError:  # whatever is wrong with a part of this model
        return _damaged(file)
    names, digests = arrays["names"].tolist(), arrays["digests"].tolist()
    if names == [*images.names[rows]] and digests == images.digests(rows):
        return arrays, before
    log.info("%s is of other images and is written again.", file)
    return None


def _damaged(file: Path) -> None:
    log.warning("%s is damaged: its images are embedded again.", file)


def _as_type(file: Path, features: Float[np.ndarray, "n d"], dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        features = features.astype(dtype)
    if not np.isfinite(features).all():
        raise InputError(f"{file}: embeddings are too large for {dtype}; leave --dtype out.")
    return features
