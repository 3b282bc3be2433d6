"""Writes embeddings as a folder of Parquet parts, which several jobs may share and start again."""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jreid.engine.model import EMBEDDING
from jreid.errors import InputError
from jreid.evaluation.results.parquet import (
    PART,
    read_about,
    read_parquet,
    require_pyarrow,
    write_part,
)
from jreid.progress import ProgressBar, silent

log = logging.getLogger(__name__)

PART_IMAGES = 4096  # of a part: they are in memory together, and one job embeds them
DTYPES = ("float32", "float16")
# What a part that is kept must agree in with this command.
SAME = ("model", "extraction", "modality", "dtype")


class Share(NamedTuple):
    """The parts that a job writes: every `of`-th one, from `number` on; and their type."""

    number: int = 0
    of: int = 1
    dtype: str = "float32"


class Images(NamedTuple):
    """What is embedded: N images in their order, and how.

    Attributes:
        names: of the images.
        labels: `identities`, `cameras` and `modalities`, `[N]` each; None stands for unknown ones.
        digests: the SHA-256 of the images of some rows.
        embed: the SHA-256 and the embeddings of the images of some rows.
    """

    names: Sequence[str]
    labels: Mapping[str, Sequence[Any]]
    digests: Callable[[slice], list[str]]
    embed: Callable[[slice, ProgressBar], tuple[list[str], Float[np.ndarray, "n d"]]]


class Written(NamedTuple):
    """What a job has done: the numbers of all images and parts, of parts written and kept."""

    images: int
    parts: int
    written: int
    kept: int


def read_share(text: str | None, dtype: str | None) -> Share:
    """The share of `2/8`: the third of eight; all parts without a text.

    Raises:
        InputError: it is not a number from 0 and a larger number.
    """
    match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text or "0/1")
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(
            f"--shard={text} is not a share; give I/N with I from 0 to N - 1: 0/8, 1/8, ... 7/8."
        )
    return Share(int(match[1]), int(match[2]), dtype or DTYPES[0])


def write_parts(
    output: Path,
    images: Images,
    about: Mapping[str, Any],
    share: Share,
    bar: ProgressBar = silent,
) -> Written:
    """Writes this job's parts; those that are there, of the same images and model, are kept.

    Args:
        output: the folder; jobs may write into it at the same time.
        about: metadata of every part.

    Raises:
        InputError: a part of another model is there, is damaged, or cannot be written; or this is
            one of several processes.
    """
    if jax.process_count() > 1:
        raise InputError("a .parquet folder is shared by --shard=I/N, not by several processes.")
    require_pyarrow()  # before anything is embedded
    N = len(images.names)
    parts = -(-N // PART_IMAGES)
    mine = range(share.number, parts, share.of)
    names = _digest(images.names)
    about = {**about, "dtype": share.dtype, "images": N, "parts": parts, "names": names}
    total, done, written = len(mine) * PART_IMAGES, 0, 0
    for number in mine:
        rows = slice(number * PART_IMAGES, min(N, (number + 1) * PART_IMAGES))

        def show(_: str, more: int, many: int, before: int = done) -> None:
            bar(EMBEDDING, before + more, max(total, before + many))

        written += _write(
            output / PART.format(number), images, rows, {**about, "part": number}, show
        )
        done += rows.stop - rows.start
    return Written(N, parts, written, len(mine) - written)


def _digest(names: Sequence[str]) -> str:
    """16 digits: a hash of all names, so that parts of other images are no part of the whole."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _write(
    file: Path, images: Images, rows: slice, about: Mapping[str, Any], bar: ProgressBar
) -> bool:
    """Writes a part, and returns whether its images were embedded for this."""
    before = _before(file, about)
    kept = _kept(file, images, rows) if before else None
    if before and kept and before == {**before, **about}:
        return False
    if kept is None:
        digests, features = images.embed(rows, bar)
        features = _as_type(file, features, about["dtype"])
        arrays = {"features": features, "digests": digests}
    else:  # only the number of parts or other metadata have changed
        arrays = kept
    labels = {name: [*column[rows]] for name, column in images.labels.items()}
    write_part(file, {**arrays, "names": [*images.names[rows]], **labels}, about)
    return kept is None


def _as_type(file: Path, features: Float[np.ndarray, "n d"], dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        features = features.astype(dtype)
    if not np.isfinite(features).all():
        raise InputError(f"{file}: embeddings are too large for {dtype}; leave --dtype out.")
    return features


def _kept(file: Path, images: Images, rows: slice) -> dict[str, np.ndarray] | None:
    """The arrays of a part that is there; None if it is of other images."""
    arrays, _ = read_parquet(file, ("features", "names", "digests"))
    names, digests = arrays["names"].tolist(), arrays["digests"].tolist()
    if names == [*images.names[rows]] and digests == images.digests(rows):
        return arrays
    log.info("%s is of other images and is written again.", file)
    return None


def _before(file: Path, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The metadata of a part that is there, if it is of the same model."""
    if not file.exists():
        return None
    before = read_about(file)
    for name in SAME:
        if before.get(name) != about[name]:
            raise InputError(
                f"{file} has embeddings with another {name} ({before.get(name)}, here "
                f"{about[name]}); choose another --output, or remove the folder."
            )
    return before
