"""The content of a dataset's folder by its own lists, and everything that is wrong with it.

A layout is a module in this folder or outside of jreid; `find_layout` returns its `Layout`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from jreid.data.table import GalleryIndex
from jreid.datasets import MODALITIES, SPLITS, Setting
from jreid.errors import InputError
from jreid.find import find_module, require_type

CONSTANTS = ("COUNTS", "SETTING", "APPLY")  # names that a layout may define
EXAMPLES = 3  # the most places that a message names
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # the last are bytes that are not UTF-8


class Row(NamedTuple):
    """One image of the folder: the Table's columns with a path in place of the bytes.

    `split` is empty if the folder has no list of splits; `drawn_split` then chooses.
    """

    name: str
    identity: int
    camera: int
    modality: str
    split: str
    path: Path


class Group(NamedTuple):
    """Images that are counted together."""

    split: str
    modality: str
    camera: int


class Count(NamedTuple):
    """The numbers of identities and images of a group."""

    identities: int
    images: int


class Fault(NamedTuple):
    """Something wrong with a folder.

    Attributes:
        place: the file or folder, with `:line` where it is a line of a list.
        what: cause and remedy, which follow the place in a message: "is missing; unpack it again".
        kind: `error` is never accepted; `missing` is accepted as a partial dataset if asked for;
            `warning`, such as images that are left out, is logged when the dataset is used; `note`
            is shown by `data check` alone.
    """

    place: str
    what: str
    kind: str = "error"

    def __str__(self) -> str:
        return f"{self.place} {self.what}"

    @property
    def harmless(self) -> bool:
        """Whether the dataset can be used in spite of it."""
        return self.kind in ("warning", "note")


class Listing(NamedTuple):
    """A folder's images by its own lists.

    Attributes:
        rows: the images that are there, sorted by name.
        faults: everything that is wrong, found in one pass without opening an image.
        gallery_index: the official gallery draw of datasets that have one, else empty.
        names: the folder's names of identities, if they are not their numbers.
    """

    rows: list[Row]
    faults: list[Fault]
    gallery_index: GalleryIndex
    names: Mapping[int, str] = {}


class Layout(NamedTuple):
    """What jreid knows about a dataset: a module's functions and constants.

    Attributes:
        list_images: takes the folder and the value of the setting, and returns a `Listing`. The
            value is 0 for a layout without setting, and for `data check` without a choice.
        counts: `COUNTS` of the module: the numbers of images, if the authors publish them.
        setting: `SETTING`: a field of `config.data` that chooses one of several lists of people.
        apply: `APPLY`: a sentence that says where to get the dataset.
    """

    list_images: Callable[[Path, Any], Listing]
    counts: Mapping[Group, Count] = {}
    setting: Setting | None = None
    apply: str = ""

    def values(self, data: Mapping[str, Any]) -> dict[str, int | str]:
        """The setting's field and its value in `config.data`; empty if there is no setting."""
        return {self.setting.field: data[self.setting.field]} if self.setting else {}


def find_layout(name: str) -> Layout:
    """The layout that `config.data.layout` names: `sysu_mm01`, or `mylab.market`.

    Raises:
        InputError: there is none of this name, or a module outside of jreid does not import or has
            no `list_images`.
    """
    module = find_module("config.data.layout", name, "jreid.data.layouts", "list_images")
    constants = {key.lower(): getattr(module, key) for key in CONSTANTS if hasattr(module, key)}
    if constants.get("setting"):
        require_type(f"SETTING of {name}", constants["setting"], Setting)
    return Layout(module.list_images, **constants)


def check_rows(listing: Listing, layout: str) -> None:
    """Raises InputError for the first row or fault, of a layout outside of jreid, of a wrong form.

    Names must be unique: packed images, fingerprints and features are found by them. An identity is
    in one split. All rows have a split, or none has: then all are drawn.
    """
    for name, values, kind in (("rows", listing.rows, Row), ("faults", listing.faults, Fault)):
        require_type(f"list_images of {layout}, as {name},", values, list)
        for value in values:
            require_type(f"list_images of {layout}, among its {name},", value, kind)
    without = [row for row in listing.rows if not row.split]
    if without and len(without) < len(listing.rows):
        raise InputError(
            f"list_images of {layout}: some images have no split, such as {without[0].name!r}, and "
            "others have one; give a split to all rows, or to none."
        )
    paths: dict[str, Path] = {}
    splits: dict[int, str] = {}
    for row in listing.rows:
        fault = _row_fault(row)
        if fault:
            raise InputError(f"list_images of {layout}: {row.name!r} has the {fault}.")
        if row.name in paths:
            raise InputError(
                f"list_images of {layout}: {row.name!r} is the name of {paths[row.name]} and of "
                f"{row.path}; give each image a name of its own."
            )
        paths[row.name] = row.path
        if splits.setdefault(row.identity, row.split) != row.split:
            raise InputError(
                f"list_images of {layout}: identity {row.identity} is in the splits "
                f"{splits[row.identity]} and {row.split}, which has {row.name!r}; give all rows of "
                "an identity the same split."
            )


def _row_fault(row: Row) -> str:
    """Which value of a row jreid cannot use, and what it needs; empty if all are valid."""
    if not isinstance(row.name, str) or not row.name or UNPRINTABLE.search(row.name):
        return f"name {row.name!r}, which is not plain UTF-8 text"
    for name, value, choices in (
        ("modality", row.modality, MODALITIES),
        ("split", row.split, (*SPLITS, "")),
    ):
        if value not in choices:
            return f"{name} {value!r}, which is not one of {choices}"
    for name, value in (("identity", row.identity), ("camera", row.camera)):
        if not isinstance(value, Integral):
            return f"{name} {value!r}, which is not a whole number"
    return "" if isinstance(row.path, Path) else f"path {row.path!r}, which is not a pathlib.Path"


def place(path: Path, folder: Path) -> str:
    """How a message names an image: below the dataset's folder, or by its path as it is."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def counts(rows: Iterable[Row]) -> dict[Group, Count]:
    """How many identities and images there are by split, modality and camera."""
    images: Counter[Group] = Counter()
    identities: dict[Group, set[int]] = {}
    for row in rows:
        group = Group(row.split, row.modality, row.camera)
        images[group] += 1
        identities.setdefault(group, set()).add(row.identity)
    return {
        group: Count(len(identities[group]), images[group])
        for group in sorted(images, key=by_split)
    }


def by_split(group: Group) -> tuple[int, str, int]:
    """The order in which groups are shown."""
    return SPLITS.index(group.split), group.modality, group.camera


def count_faults(
    expected: Mapping[Group, Count],
    rows: Sequence[Row],
    remedy: str = "; unpack the dataset again",
    too_many: str = "",
) -> list[Fault]:
    """Differences from the expected counts; too few is `missing`, too many is `error`.

    A group of camera 0 counts all cameras of its split and modality.

    Args:
        remedy: the end of each message.
        too_many: follows it where there are too many.
    """
    found = counts(rows) | counts([row._replace(camera=0) for row in rows])
    faults = []
    for group, count in expected.items():
        there = found.get(group, Count(0, 0))
        if there != count:
            few = there.images <= count.images and there.identities <= count.identities
            end = remedy if few else remedy + too_many
            faults.append(
                Fault(
                    named(group),
                    f"has {there.images:,} images of {there.identities} identities, not the "
                    f"{count.images:,} of {count.identities} that belong there{end}",
                    "missing" if few else "error",
                )
            )
    return faults


def named(group: Group) -> str:
    """The group in words."""
    camera = f", camera {group.camera}" if group.camera else ""
    return f"{group.split}, {group.modality}{camera}"


def raise_faults(
    faults: Iterable[Fault], folder: Path, remedy: str = "", most: int = 3, see: str = ""
) -> None:
    """Raises InputError with the first of these faults, if there is one.

    Args:
        see: a command that shows all of them.
    """
    messages = first_faults(faults, most, see)
    if messages:
        last = [remedy] if remedy else []
        raise InputError(f"{folder}: {'; '.join(messages + last)}.")


def first_faults(faults: Iterable[Fault], most: int = 3, see: str = "") -> list[str]:
    """The first of these faults in words, and how many more there are; `see` as `raise_faults`."""
    messages = [str(fault) for fault in faults]
    also = f", see `{see}`" if see else ""
    more = [f"and {len(messages) - most} more{also}"] if messages[most:] else []
    return messages[:most] + more


def first_of(places: Sequence[str]) -> str:
    """The first places in words."""
    shown = ", ".join(places[:EXAMPLES])
    return f"first {shown}" if places[EXAMPLES:] else shown
