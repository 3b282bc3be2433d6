"""The embeddings of a gallery in a file: images that did not change are not embedded again.

A file of another origin that has embeddings, such as one of `jreid embed`, is only read.
"""

import hashlib
import json
import logging
import os
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int

from jreid.data.forms import Decoded, to_pixels
from jreid.data.images import read_file
from jreid.data.pixels import ImageError
from jreid.datasets import MODALITIES
from jreid.errors import InputError, counted
from jreid.evaluation.results.feature_file import load_features
from jreid.evaluation.results.feature_formats import READERS, read_model_of, refuse_bomb
from jreid.files import check_folder, write_whole
from jreid.paths import require_file
from jreid.progress import ProgressBar, silent, with_progress
from jreid.retrieval.sources import Source, read_gallery

VERSION = 2  # of the file
ARRAYS = ("about", "names", "digests", "stamps", "features")
# A file changed this recently may change again without a new time, if its clock is coarse.
SETTLED = 2_000_000_000  # nanoseconds
WRITTEN_EVERY = 300.0  # seconds between writing what is embedded so far
log = logging.getLogger(__name__)

# Takes sources and yields the embeddings of some of them at a time, in order.
Embed = Callable[[Sequence[Source]], Iterable[tuple[Sequence[Source], Float[np.ndarray, "n d"]]]]


class Index(NamedTuple):
    """A gallery's images and their embeddings.

    Attributes:
        model: the hash of the config and of the weights that made the embeddings; empty if the file
            does not record it.
        modality: `visible` or `infrared`, of all images.
        names: the N images' paths relative to their folder, with suffix; or the names that a file
            of another origin has.
        digests: the SHA-256 of each file; none if the file does not record them.
        stamps: each file's size, and when its content and its inode changed, in nanoseconds; zeros
            if the file must be hashed the next time.
        features: `[N, D]` float32, not normalized.
        of: how many images the folder had; more than N if not all were embedded. 0: not known.
    """

    model: str
    modality: str
    names: list[str]
    digests: list[str]
    stamps: Int[np.ndarray, "n 3"]
    features: Float[np.ndarray, "n d"]
    of: int = 0


def read_index(file: Path, model: str, modality: str) -> Index:
    """The index in a file; or what a file of embeddings has of a modality, in any format.

    Warns if it does not record the model or the images' digests, which can then not be compared.

    Raises:
        InputError: it is neither, is damaged, or is of another model or modality.
    """
    index = _read_embeddings(file, modality) if holds_embeddings(file) else _read(file)
    recorded = (
        (index.model, "its model", "that this run made it"),
        (index.digests, "the SHA-256 of its images", "that they have not changed"),
    )
    missing = [texts for there, *texts in recorded if not there]
    if missing:
        what, checks = (" and ".join(texts) for texts in zip(*missing, strict=True))
        log.warning("%s does not record %s: jreid cannot check %s", file, what, checks)
    if index.model not in ("", model):
        raise InputError(
            f"{file} holds the embeddings of another model or checkpoint; give the run that made "
            "it, or another --index."
        )
    if index.modality != modality:
        raise _other_modality(file, index.modality, modality)
    return index


def holds_embeddings(file: Path) -> bool:
    """Whether a file is no index but has embeddings of another origin, so that it is only read."""
    if file.suffix in READERS:  # all formats but .npz
        return True
    if not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return f"{ARRAYS[0]}.npy" not in archive.namelist()
    except Exception:  # zipfile raises many kinds of errors for a damaged file
        return False


def _read_embeddings(file: Path, modality: str) -> Index:
    loaded, model = load_features(file), read_model_of(file)
    if not np.isfinite(loaded.features).all():
        raise InputError(f"{file} holds embeddings that are not finite; embed the images again.")
    rows = slice(None)
    if loaded.modalities is not None and not (loaded.modalities == modality).all():
        rows = np.flatnonzero(loaded.modalities == modality)
        if not len(rows):
            raise _other_modality(file, str(loaded.modalities[0]), modality)
    names = loaded.names[rows].tolist()
    digests = [] if loaded.digests is None else loaded.digests[rows].tolist()
    stamps = np.zeros((len(names), 3), np.int64)
    return Index(model, modality, names, digests, stamps, loaded.features[rows])


def _other_modality(file: Path, held: str, modality: str) -> InputError:
    return InputError(
        f"{file} holds {held} images, not {modality} ones; give their modality "
        "(--gallery-modality), or another --index."
    )


def _read(file: Path) -> Index:
    require_file(file, "give the .npz file of an index")
    try:
        refuse_bomb(file)
        with file.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            about, names, digests, stamps, features = (arrays[name] for name in ARRAYS)
        index = _checked(json.loads(str(about)), names, digests, stamps, features)
    except Exception as error:  # numpy and zipfile raise many kinds of errors for a damaged file
        cause = textwrap.shorten(str(error), 200)
        raise InputError(
            f"{file} is not an index of `jreid search`, or it is damaged ({cause}); give another "
            "--index, or remove it to embed the gallery again."
        ) from error
    return index


def update_index(
    file: Path,
    folder: Path,
    model: str,
    modality: str,
    embed: Embed,
    depth_range: tuple[int, ...] = (),
    bar: ProgressBar = silent,
) -> Index:
    """Brings the index in a file up to date with a folder's images, and returns it.

    Images are identified by the hash of their file: a changed one is embedded again, a renamed one
    is not. A file is hashed only if its size or its times changed. If the work is interrupted, the
    file keeps the embeddings computed so far; if it is killed, those of the last file written,
    every `WRITTEN_EVERY` seconds.

    Args:
        file: written completely or not at all; created if it does not exist.
        embed: called with the new images.

    Raises:
        InputError: as `read_index` and `read_gallery`; an image cannot be read; the folder has
            less than half of the file's images; or the file cannot be written.
    """
    paths = read_gallery(folder)
    before = read_index(file, model, modality) if os.path.lexists(file) else None
    stamps, digests = _identify(paths, before, bar)
    known = dict(zip(before.digests, before.features, strict=True)) if before else {}
    rows = zip(before.names, before.digests, strict=True) if before else ()
    there = {*paths}, {*digests}
    still = sum(name in there[0] or digest in there[1] for name, digest in rows)
    if not known.keys() & there[1]:
        still = 0  # another gallery may have the same names
    if before and still < len(before.names) / 2:
        raise InputError(
            f"{file} holds {counted(len(before.names), 'images')}, of which {folder} has "
            f"{still:,}, so most of its embeddings would be lost; give the whole folder, or "
            "another --index, or remove the file if the other images are gone."
        )
    new = {
        digest: Source(name, partial(_read_same, path, digest, depth_range))
        for (name, path), digest in zip(paths.items(), digests, strict=True)
        if digest not in known
    }
    digest_of = {source.name: digest for digest, source in new.items()}

    def so_far() -> Index:
        names = [name for name, digest in zip(paths, digests, strict=True) if digest in known]
        rows = [row for row, digest in enumerate(digests) if digest in known]
        kept = [digests[row] for row in rows]
        features = _stacked(kept, known, before)
        return Index(model, modality, names, kept, stamps[rows], features, len(paths))

    if new:
        check_folder(file.parent)
    index, written = before, time.monotonic()
    try:
        for some, features in embed([*new.values()]) if new else ():
            if before and before.features.shape[1] != features.shape[1]:
                raise InputError(
                    f"{file} holds embeddings of {before.features.shape[1]} numbers, and this "
                    f"model's have {features.shape[1]}; remove it to embed the gallery again."
                )
            known |= zip((digest_of[source.name] for source in some), features, strict=True)
            if time.monotonic() - written > WRITTEN_EVERY:
                _write(file, so_far())
                written = time.monotonic()
    finally:
        if not known.keys().isdisjoint(digests):
            index = so_far()
            if not _same(index, before):
                _write(file, index)
    return cast(Index, index)


def _identify(
    paths: Mapping[str, Path], before: Index | None, bar: ProgressBar
) -> tuple[Int[np.ndarray, "n 3"], list[str]]:
    """Each file's stamp and digest; only files with an unknown stamp are read."""
    known: dict[str, tuple[tuple[int, ...], str]] = {}
    if before:
        rows = zip(map(tuple, before.stamps.tolist()), before.digests, strict=True)
        known = dict(zip(before.names, rows, strict=True))

    def identify(name: str, path: Path) -> tuple[tuple[int, ...], str]:
        try:
            found = path.stat()
            stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if name in known and known[name][0] == stamp:
                return known[name]
            digest = hashlib.sha256(read_file(path)).hexdigest()
        except (ImageError, OSError) as error:
            raise InputError(f"{path} {_cause(error)}; replace the file or remove it.") from error
        return (stamp if max(stamp[1:]) < time.time_ns() - SETTLED else (0, 0, 0)), digest

    with ThreadPoolExecutor() as pool:
        found = pool.map(identify, paths, paths.values())
        stamps, digests = zip(*with_progress(found, "files compared", len(paths), bar), strict=True)
    return np.array(stamps, np.int64), [*digests]


def _cause(error: ImageError | OSError) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)


def _read_same(path: Path, digest: str, depth_range: tuple[int, ...]) -> Decoded:
    """An image's pixels, if its bytes are still those that were hashed."""
    content = read_file(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImageError("changes while it is read")
    return to_pixels(content, depth_range)


def _stacked(
    digests: list[str], known: Mapping[str, Float[np.ndarray, " d"]], before: Index | None
) -> Float[np.ndarray, "n d"]:
    """The embeddings of the digests; if nothing changed those of the file, without a copy."""
    if before and digests == before.digests:
        return before.features
    return np.stack([known[digest] for digest in digests])


def _same(one: Index, other: Index | None) -> bool:
    """Whether two indexes hold the same images; their features then are the same, too."""
    if other is None or (one.names, one.digests, one.of) != (other.names, other.digests, other.of):
        return False
    return np.array_equal(one.stamps, other.stamps)


def _write(file: Path, index: Index) -> None:
    about = {"version": VERSION, "model": index.model, "modality": index.modality, "of": index.of}
    arrays = {
        "about": np.array(json.dumps(about)),
        "names": np.array(index.names),
        "digests": np.array(index.digests),
        "stamps": index.stamps,
        "features": index.features,
    }
    write_whole(file, lambda content: np.savez(content, **cast(Any, arrays)))


def _checked(
    about: Mapping[str, Any],
    names: np.ndarray,
    digests: np.ndarray,
    stamps: np.ndarray,
    features: np.ndarray,
) -> Index:
    """The index of these arrays; ValueError if they do not form an index."""
    if about["version"] != VERSION:
        raise ValueError(f"it is of version {about['version']}, and this jreid reads {VERSION}")
    index = Index(
        str(about["model"]),
        about["modality"],
        [*names.tolist()],
        [*digests.tolist()],
        stamps,
        features.astype(np.float32, copy=False),  # also in this machine's byte order
        int(about.get("of", 0)),  # earlier files lack it
    )
    N = len(index.names)
    for name, array, kind, shape in (
        ("names", names, np.str_, (N,)),
        ("digests", digests, np.str_, (N,)),
        ("stamps", stamps, np.integer, (N, 3)),
        ("features", features, np.float32, (N, features.shape[-1])),
    ):
        if not np.issubdtype(array.dtype, kind) or array.shape != shape or not array.size:
            raise ValueError(f"its {name} are {array.dtype}{[*array.shape]}")
    if index.modality not in MODALITIES or not np.isfinite(features).all():
        raise ValueError("it holds no modality, or features that are not finite")
    return index
