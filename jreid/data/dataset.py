"""Loads the Table of a dataset's folder, after checking all of it."""

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jreid.data.drawn_split import DEFAULT_FRACTION, draw_split
from jreid.data.forms import DEEP, check_depth_range
from jreid.data.images import Image, hash_file, read_images
from jreid.data.layouts.layout import (
    Count,
    Fault,
    Group,
    Listing,
    Row,
    check_rows,
    count_faults,
    find_layout,
    first_faults,
    place,
    raise_faults,
)
from jreid.data.layouts.synthetic_label import LABEL_FILE, read_label, synthesize_command
from jreid.data.table import GalleryIndex, Table
from jreid.errors import InputError
from jreid.find import call, is_outside
from jreid.optional_parts import has_part
from jreid.paths import from_here
from jreid.progress import ProgressBar, silent, with_progress

ON_BAD_IMAGE = ("raise", "skip")
TAKE_PARTIAL = (
    "or accept it as it is, which marks every result: `data prepare --allow-partial`, `train "
    "--config.data.allow_partial=true`"
)
TAKE_MORE = (
    " into an empty folder, or give a changed dataset a name of its own, so that its counts are "
    "not compared: `train --config.data.name=NAME`"
)
NO_IMAGES = "holds none of the images in its lists; give the folder of the dataset"
MAX_SKIPPED = 0.001  # of the training images


class Source(NamedTuple):
    """The folder of a dataset, and the faults of it that are accepted.

    Attributes:
        name: its name in results. A dataset with the name of its layout is the authors' own: its
            image counts are checked.
        layout: the module of `jreid.data.layouts` that reads the folder, such as `sysu_mm01`.
        folder: the dataset as its authors ship it; only read.
        setting: the value of the layout's `Setting`: which of RegDB's ten splits, or of MP-ReID's
            experiments; 0 for other datasets.
        allow_partial: whether images may be missing; results are then marked.
        on_bad_image: `raise`, or `skip` training images that cannot be decoded, up to 0.1 %.
        depth_range: the values that become black and white in images with 16 bits per channel;
            empty does not allow such images.
        test_fraction, split_seed: choose the test identities of a folder without a list of splits,
            as in `drawn_split`.
    """

    name: str
    layout: str
    folder: Path
    setting: int | str = 0
    allow_partial: bool = False
    on_bad_image: str = "raise"
    depth_range: tuple[int, ...] = ()
    test_fraction: float = DEFAULT_FRACTION
    split_seed: int = 0


class Dataset(NamedTuple):
    """A Table and the other data that its protocol needs.

    Attributes:
        table: every image of the dataset.
        gallery_index: (camera, identity) to the trials' permutations of image numbers.
        fingerprint: SHA-256 of both.
        partial: whether images of the dataset are missing.
        skipped: names of training images that are left out because they cannot be decoded.
        files_fingerprint: SHA-256 of the folder's lists and image files.
        names: the folder's names of identities, if they are not numbers.
        drawn_split: a sentence on how the identities were split, if jreid drew the split.
        warnings: the first faults of kind `warning`, and how many more there are.
    """

    table: Table
    gallery_index: GalleryIndex
    fingerprint: str
    partial: bool = False
    skipped: Sequence[str] = ()
    files_fingerprint: str = ""
    names: Mapping[int, str] = {}
    drawn_split: str = ""
    warnings: Sequence[str] = ()


class Examined(NamedTuple):
    """A folder's listing, and its expected counts.

    Attributes:
        listing: the content of the folder; its faults include wrong counts.
        expected: the known counts, if any.
        drawn_split: as in `Dataset`.
    """

    listing: Listing
    expected: Mapping[Group, Count]
    drawn_split: str


def examine(source: Source) -> Examined:
    """Lists a folder without opening images, and compares its counts with the known ones.

    Raises:
        InputError: no such folder, a synthetic dataset under a real one's name, or an invalid depth
            range.
    """
    check_depth_range(source.depth_range)
    layout, folder = find_layout(source.layout), source.folder
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "does not exist"
        command = synthesize_command(source.name, folder, source.layout)
        command = command or synthesize_command(folder.name, folder)
        remedy = f", or render the synthetic one: {command}." if command else f". {layout.apply}"
        raise InputError(f"{from_here(folder)} {wrong}; give the dataset's folder{remedy}")
    expected, label = layout.counts, read_label(folder)
    if source.name != source.layout.rpartition(".")[2]:
        counts = label["counts"] if label else []
        expected = {Group(*row[:3]): Count(*row[3:]) for row in counts}
    elif label:
        raise InputError(
            f"{folder} holds the synthetic dataset, not {source.name}; use the dataset name "
            "synthetic, so that its results are not mixed up with real ones."
        )
    if label and label["preset"] != "tiny" and source.name.startswith("tiny"):
        command = synthesize_command(source.name, folder, source.layout)
        raise InputError(
            f"{folder} holds the synthetic dataset with the preset {label['preset']}, not tiny; "
            "give another folder by --config.data.folder, or remove this one and render it: "
            f"{command}."
        )
    listing = call(
        f"list_images of {source.layout}", layout.list_images, Listing, folder, source.setting
    )
    if is_outside(source.layout):
        check_rows(listing, source.layout)
    listing, drawn = draw_split(listing, source.test_fraction, source.split_seed)
    miscounts = count_faults(expected, listing.rows, too_many="" if label else TAKE_MORE)
    faults = listing.faults + miscounts
    if not listing.rows and all(fault.harmless for fault in faults):
        faults.append(Fault("the folder", NO_IMAGES))
    return Examined(listing._replace(faults=faults), expected, drawn)


def _refuse(faults: Iterable[Fault], source: Source, remedy: str = "") -> None:
    """Raises InputError with the first of these faults, and the command that shows all."""
    raise_faults(faults, source.folder, remedy, see=_check_command(source))


def _warnings(listing: Listing, source: Source) -> list[str]:
    """`Dataset.warnings` of a folder."""
    found = [fault for fault in listing.faults if fault.kind == "warning"]
    return first_faults(found, see=_check_command(source))


def _check_command(source: Source) -> str:
    """The command that shows all faults of a dataset."""
    synthetic = (source.folder / LABEL_FILE).is_file()
    folder = shlex.quote(str(source.folder))
    name = "synthetic" if synthetic else source.layout
    setting = find_layout(source.layout).setting
    chosen = f",{setting.option}={source.setting}" if setting and source.setting else ""
    depth = " ".join(["", "--depth-range", *map(str, source.depth_range)])
    command = f"jreid data check {name}{chosen} --source={folder}"
    return f"{command}{depth}" if source.depth_range else command


def load(source: Source, prepared: Path, bar: ProgressBar = silent) -> Dataset:
    """The dataset of a folder; its images are packed on first use, if TensorFlow is installed.

    Args:
        prepared: the folder of packed images.

    Raises:
        InputError: the folder is missing, incomplete or inconsistent, or has a file that is not an
            image; or images of a training identity are in the test split.
    """
    listing, missing, drawn = _accepted(source)
    images = list(_images(listing.rows, prepared, bar, source.depth_range))
    skipped = _bad_images(images, source)
    table = make_table(image for image in images if not image.fault)
    _refuse(duplicate_faults(table, listing.names, across_splits=True), source)
    index = listing.gallery_index
    if missing or skipped:
        index = _present(index, table)
    fingerprint = _fingerprint(table.fingerprint(), index)
    files = _files_fingerprint(listing, {image.row.name: image.digest for image in images})
    names, warnings = listing.names, _warnings(listing, source)
    return Dataset(table, index, fingerprint, missing, skipped, files, names, drawn, warnings)


def _images(
    rows: Sequence[Row],
    prepared: Path,
    bar: ProgressBar,
    depth_range: tuple[int, ...],
) -> Iterable[Image]:
    if not has_part("data"):
        return with_progress(read_images(rows, depth_range), "reading images", len(rows), bar)
    from jreid.data.prepared import pack

    return pack(rows, prepared, bar, depth_range)


def files_fingerprint(source: Source) -> str:
    """The current `Dataset.files_fingerprint` of a folder; no image is decoded or packed.

    Raises:
        InputError: the folder is missing, incomplete or inconsistent.
    """
    listing = _accepted(source)[0]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(hash_file, [row.path for row in listing.rows])
        names = [row.name for row in listing.rows]
        return _files_fingerprint(listing, dict(zip(names, digests, strict=True)))


def _files_fingerprint(listing: Listing, digests: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for row in sorted(listing.rows, key=lambda row: row.name):
        digest.update("\t".join([*map(str, row[:5]), digests[row.name]]).encode() + b"\n")
    return _fingerprint(digest.hexdigest(), listing.gallery_index)


def _accepted(source: Source) -> tuple[Listing, bool, str]:
    """A folder's listing, whether images are missing, and how it was split without a list.

    Raises:
        InputError: it is not accepted.
    """
    listing, _, drawn = examine(source)
    _refuse((fault for fault in listing.faults if fault.kind == "error"), source)
    missing = [fault for fault in listing.faults if fault.kind == "missing"]
    if not source.allow_partial:
        _refuse(missing, source, TAKE_PARTIAL)
    if not listing.rows:
        raise InputError(f"{source.folder} {NO_IMAGES}.")
    return listing, bool(missing), drawn


def duplicate_faults(
    table: Table, names: Mapping[int, str] = {}, across_splits: bool = False
) -> list[Fault]:
    """Images of equal bytes: one in two splits is an `error`, all others are one warning.

    Args:
        names: as in `Dataset`.
        across_splits: find only the errors.
    """

    def labels(row: int) -> str:
        identity = int(table.identity[row])
        return f"({table.split[row]}, identity {names.get(identity, identity)})"

    same: dict[bytes, list[int]] = {}
    for row, image in enumerate(table.image):
        same.setdefault(hashlib.sha256(image).digest(), []).append(row)
    pairs = [(row, first) for first, *others in same.values() for row in others]
    crossing = [(row, first) for row, first in pairs if table.split[row] != table.split[first]]
    faults = [
        Fault(
            str(table.name[row]),
            f"{labels(row)} holds the same bytes as {table.name[first]} {labels(first)}; an image "
            "must not be in two splits; unpack the dataset again",
        )
        for row, first in crossing
    ]
    within = [pair for pair in pairs if table.split[pair[0]] == table.split[pair[1]]]
    if within and not across_splits:
        row, first = within[0]
        message = f"holds the same bytes as {table.name[first]} {labels(first)}; "
        message += f"repeated images within a split: {len(within):,}"
        faults.append(Fault(f"{table.name[row]} {labels(row)}", message, "warning"))
    return faults


def _bad_images(images: Iterable[Image], source: Source) -> list[str]:
    """Names of the training images to leave out. Raises InputError if that is not allowed."""
    images = list(images)
    bad = [image for image in images if image.fault]
    training = sum(image.row.split == "train" for image in images)
    skippable = [image for image in bad if image.row.split == "train"]
    faults = sorted(Fault(place(image.row.path, source.folder), image.fault) for image in bad)
    deep = [fault for fault in faults if fault.what == DEEP]
    if deep:
        others = [fault for fault in faults if fault.what != DEEP]
        _refuse([deep[0], *others], source, f"images with 16 bits per channel: {len(deep):,}")
    if source.on_bad_image != "skip" or len(skippable) < len(bad):
        _refuse(faults, source, "replace the file")
    if len(skippable) > MAX_SKIPPED * training:
        limit = f"more than {MAX_SKIPPED:.1%} of {training} training images cannot be decoded"
        _refuse(faults, source, f"{limit}, so they are not skipped; replace the files")
    return [image.row.name for image in skippable]


def make_table(images: Iterable[Image]) -> Table:
    """The Table of images without faults, sorted by name."""
    images = sorted(images, key=lambda image: image.row.name)
    rows = [image.row for image in images]
    content = np.empty(len(images), object)
    content[:] = [image.content for image in images]
    return Table(
        name=np.array([row.name for row in rows]),
        identity=np.array([row.identity for row in rows], np.int64),
        camera=np.array([row.camera for row in rows], np.int64),
        modality=np.array([row.modality for row in rows]),
        split=np.array([row.split for row in rows]),
        image=content,
    )


def _present(index: GalleryIndex, table: Table) -> GalleryIndex:
    """The gallery index without the missing images."""
    there = {*table.name.tolist()}
    kept = {}
    for (camera, identity), draws in index.items():
        place = f"cam{camera}/{identity:04d}"
        numbers = [n for n in draws[0] if f"{place}/{n:04d}" in there]
        if numbers:
            kept[camera, identity] = draws[np.isin(draws, numbers)].reshape(len(draws), -1)
    return kept


def _fingerprint(of_table: str, index: GalleryIndex) -> str:
    digest = hashlib.sha256(of_table.encode())
    for pair in sorted(index):
        digest.update(f"{pair}".encode() + index[pair].tobytes())
    return digest.hexdigest()
