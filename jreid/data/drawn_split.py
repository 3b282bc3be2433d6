"""Splits the identities of a folder that has no list of splits."""

import hashlib
from typing import NamedTuple

from jreid.data.layouts.layout import Fault, Listing, first_of
from jreid.errors import counted

DEFAULT_FRACTION = 0.5


class DrawnSplit(NamedTuple):
    """A listing with a split for each of its rows.

    Attributes:
        listing: without the identities that are in one modality only.
        sentence: how identities were split; empty if the folder has a list of splits.
    """

    listing: Listing
    sentence: str


def draw_split(listing: Listing, fraction: float, seed: int) -> DrawnSplit:
    """Puts a fraction of the identities into the test split, and the others into training.

    The choice depends only on the identities' names, the fraction and the seed. A folder with a
    list of splits is not changed.

    Args:
        fraction: of the identities that have images of both modalities, above 0 and below 1.
    """
    if all(row.split for row in listing.rows):
        return DrawnSplit(listing, "")
    sides: dict[int, set[str]] = {}
    for row in listing.rows:
        sides.setdefault(row.identity, set()).add(row.modality)
    name = {identity: listing.names.get(identity, str(identity)) for identity in sides}
    whole = [identity for identity in sides if len(sides[identity]) == 2]
    order = sorted(whole, key=lambda identity: _digest(seed, name[identity]))
    count = min(max(round(fraction * len(whole)), 1), len(whole) - 1)
    faults = [*listing.faults]
    one_sided = sorted(name[identity] for identity in sides if len(sides[identity]) == 1)
    if one_sided:
        message = f"has {counted(len(one_sided), 'identities')} with images of one modality only, "
        faults.append(Fault("the folder", f"{message}left out; {first_of(one_sided)}", "warning"))
    if len(whole) < 2:
        found = counted(len(whole), "identities")
        message = f"has {found} with images of both modalities; add images until "
        faults.append(Fault("the folder", f"{message}at least 2 have them"))
        return DrawnSplit(listing._replace(rows=[], faults=faults), "")
    split = {identity: "test" if n < count else "train" for n, identity in enumerate(order)}
    note = Fault(
        "splits.txt",
        f"is missing: {count:,} of {len(whole):,} identities, drawn by their names and "
        f"config.data.split_seed={seed}, are the test split (config.data.test_fraction="
        f"{fraction}), the others are for training; write a splits.txt to choose them",
        "note",
    )
    rows = [
        row._replace(split=split[row.identity]) for row in listing.rows if row.identity in split
    ]
    return DrawnSplit(listing._replace(rows=rows, faults=[*faults, note]), str(note))


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{name}".encode()).digest()
