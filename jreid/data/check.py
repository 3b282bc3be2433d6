"""Everything that is wrong with a dataset's folder, in one pass, beside its known counts."""

from collections.abc import Mapping
from typing import NamedTuple

import rich.box
import rich.table

from jreid.data.dataset import Source, duplicate_faults, examine, make_table
from jreid.data.images import Track, read_images, silent
from jreid.data.listing import Count, Fault, Group, Listing, by_split, counts


class Report(NamedTuple):
    """What a check found.

    Attributes:
        expected: how many there should be, where that is known.
        found: how many there are; of camera 0, which stands for all cameras, too.
        faults: everything that is wrong or odd.
    """

    expected: Mapping[Group, Count]
    found: Mapping[Group, Count]
    faults: list[Fault]

    @property
    def sound(self) -> bool:
        """Whether nothing worse than oddities was found."""
        return all(fault.kind == "odd" for fault in self.faults)


def check(source: Source, track: Track = silent) -> Report:
    """Lists the folder, decodes every image and compares their bytes; writes nothing.

    Raises:
        InputError: no such folder, or a synthetic dataset under a real one's name.
    """
    listing, expected = examine(source)
    report, sound = _count(listing, expected), []
    for image in track(read_images(listing.rows), "checking images", len(listing.rows)):
        if image.fault:
            place = str(image.row.path.relative_to(source.folder))
            report.faults.append(Fault(place, f"{image.fault}; replace the file"))
        else:
            sound.append(image)
    report.faults.extend(duplicate_faults(make_table(sound)))
    return report


def survey(source: Source) -> Report:
    """The counts, and the faults that show without opening an image; InputError as `check`."""
    return _count(*examine(source))


def _count(listing: Listing, expected: Mapping[Group, Count]) -> Report:
    totals = counts([row._replace(camera=0) for row in listing.rows])
    return Report(expected, totals | counts(listing.rows), [*listing.faults])


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
