"""Finds all faults of a dataset's folder in one pass, and compares its known counts."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import rich.box
import rich.table

from jreid.data.dataset import Source, duplicate_faults, examine, make_table
from jreid.data.forms import DEEP, TURNED
from jreid.data.images import Image, read_images
from jreid.data.layouts.layout import (
    Count,
    Fault,
    Group,
    Listing,
    Row,
    by_split,
    counts,
    first_of,
    place,
)
from jreid.datasets import MODALITIES, SPLITS
from jreid.errors import counted
from jreid.progress import ProgressBar, silent, with_progress


class Report(NamedTuple):
    """The result of a check.

    Attributes:
        expected: the known counts, if any.
        found: the counts; camera 0 means all cameras.
        faults: every error and every warning.
    """

    expected: Mapping[Group, Count]
    found: Mapping[Group, Count]
    faults: list[Fault]

    @property
    def sound(self) -> bool:
        """Whether nothing was found that makes the dataset incomplete or unusable."""
        return all(fault.harmless for fault in self.faults)


def check(source: Source, bar: ProgressBar = silent) -> Report:
    """Lists the folder, decodes all images and compares their bytes; writes nothing.

    Raises:
        InputError: no such folder, or a synthetic dataset under a real one's name.
    """
    listing, expected, _ = examine(source)
    report, sound, deep, turned = _count(listing, expected), [], [], []
    reading = read_images(listing.rows, source.depth_range)
    for image in with_progress(reading, "checking images", len(listing.rows), bar):
        where = place(image.row.path, source.folder)
        if image.counts:
            deep.append(image._replace(content=b""))
        if image.turned:
            turned.append(where)
        if not image.fault:
            # Equal images have equal digests, and the bytes of all may not fit the memory.
            sound.append(image._replace(content=hashlib.sha256(image.content).digest()))
        elif image.fault != DEEP:
            report.faults.append(Fault(where, f"{image.fault}; replace the file"))
    report.faults.extend(_depth_faults(deep, source))
    if turned:
        report.faults.append(Fault(turned[0], TURNED.format(number=len(turned)), "warning"))
    report.faults.extend(duplicate_faults(make_table(sound), listing.names))
    return report


def _depth_faults(deep: Sequence[Image], source: Source) -> list[Fault]:
    """The images with 16 bits per channel and their values; `error` without a range for them."""
    if not deep:
        return []
    lows, highs = zip(*(image.counts for image in deep if image.counts), strict=True)
    first = place(deep[0].row.path, source.folder)
    message = f"has 16 bits per channel (such images in all: {len(deep):,}), values of "
    message += f"{min(lows):,} to {max(highs):,}; "
    if source.depth_range:
        low, high = source.depth_range
        message += f"values up to {low:,} become black, from {high:,} white"
        return [Fault(first, message, "warning")]
    message += (
        "choose the values that become black and white: `data check --depth-range LOW HIGH`, "
    )
    return [Fault(first, f"{message}`train --config.data.depth_range='(LOW,HIGH)'`")]


def survey(source: Source) -> Report:
    """The counts, and the faults that are found without opening images; InputError as `check`."""
    return _count(*examine(source)[:2])


def _count(listing: Listing, expected: Mapping[Group, Count]) -> Report:
    totals = counts([row._replace(camera=0) for row in listing.rows])
    faults = [*listing.faults, *_one_sided_faults(listing.rows)]
    return Report(expected, totals | counts(listing.rows), faults)


def _one_sided_faults(rows: Sequence[Row]) -> list[Fault]:
    """Identities in one modality only, by their folders' names; an error for training."""
    sides: dict[tuple[str, int], dict[str, str]] = {}
    for row in rows:
        sides.setdefault((row.split, row.identity), {})[row.modality] = row.path.parent.name
    faults = []
    for split, modality in product(SPLITS, MODALITIES):
        folders = [
            side[modality]
            for (of, _), side in sides.items()
            if of == split and side.keys() == {modality}
        ]
        if folders:
            message = f"has {counted(len(folders), 'identities')} with {modality} images only: "
            message += first_of(sorted(folders))
            remedy = "; add images of the other modality or leave them out of the split"
            training = split == "train"
            message += remedy if training else "; as queries they have no match"
            faults.append(Fault(split, message, "error" if training else "warning"))
    return faults


def format_report(report: Report) -> rich.table.Table:
    """Identities and images by split, modality and camera, expected and found."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("split", "modality", "camera"):
        table.add_column(name)
    for name in ("identities", "expected", "images", "expected"):
        table.add_column(name, justify="right")
    shown = {*report.expected} | {group for group in report.found if group.camera}
    for group in sorted(shown, key=by_split):
        there, should = report.found.get(group, Count(0, 0)), report.expected.get(group)
        wrong = should is not None and should != there
        table.add_row(
            group.split,
            group.modality,
            str(group.camera) if group.camera else "all",
            f"{there.identities:,}",
            f"{should.identities:,}" if should else "-",
            f"{there.images:,}",
            f"{should.images:,}" if should else "-",
            style="red" if wrong else None,
        )
    return table
