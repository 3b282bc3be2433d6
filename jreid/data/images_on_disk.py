"""Which image files a dataset's folder holds, found in one walk without opening any of them."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from jreid.data.listing import Fault

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")  # in small or capital letters
ARCHIVER = "__MACOSX"  # a folder that an archiver leaves behind
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # the last are bytes that are no UTF-8


class Found(NamedTuple):
    """What a walk found; all places are relative to the dataset's folder, with `/`.

    Attributes:
        images: an image's place without suffix to its place, sorted.
        folders: every folder.
        faults: what is wrong or odd about them.
    """

    images: dict[str, str]
    folders: set[str]
    faults: list[Fault]


def find_images(folder: Path, places: re.Pattern[str]) -> Found:
    """The image files in the folders that a layout has; hidden files are nobody.

    Args:
        places: matches the layout's folders; its group `identity` matches in those that hold
            images. Links are followed to these folders only, and beyond a link only they are
            entered: no loop of links, and no walk through all of a disk.
    """
    images: dict[str, str] = {}
    misplaced: list[str] = []
    found = Found(images, {""}, [])
    todo = [("", False)]
    while todo:
        place, linked = todo.pop()
        home = _holds_images(place, places)
        for entry in _scan(folder, place, found.faults):
            path = f"{place}/{entry.name}" if place else entry.name
            stem, suffix = os.path.splitext(path)
            in_layout = places.fullmatch(path) is not None
            is_folder = _is_folder(entry, follow=in_layout)
            if is_folder and linked and not in_layout:
                continue
            if not is_folder and suffix.lower() not in SUFFIXES:
                continue
            if UNPRINTABLE.search(entry.name):
                told = "has a name that is not plain UTF-8 text; rename it"
                found.faults.append(Fault(UNPRINTABLE.sub("?", path), told))
            elif is_folder:
                found.folders.add(path)
                todo.append((path, linked or entry.is_symlink()))
            elif not _is_file(entry):
                told = "is a link that leads nowhere or no file; put the image in its place"
                found.faults.append(Fault(path, told, "missing"))
            elif not home:
                misplaced.append(path)
            elif stem in images:
                told = f"has the name of {images[stem]}; remove one of the two"
                found.faults.append(Fault(path, told))
            else:
                images[stem] = path
    found.faults.extend(_misplaced_faults(sorted(misplaced), places, bool(images)))
    return found._replace(images=dict(sorted(images.items())))


def outermost_gone(place: str, folders: set[str]) -> str:
    """The outermost folder on the way to an image that is not there, or the image itself."""
    parts = place.split("/")
    ways = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((way for way in ways if way not in folders), place)


def _holds_images(place: str, places: re.Pattern[str]) -> bool:
    match = places.fullmatch(place)
    return match is not None and match["identity"] is not None


def _scan(folder: Path, place: str, faults: list[Fault]) -> Iterator[os.DirEntry[str]]:
    """A folder's entries by name, without the hidden ones."""
    try:
        with os.scandir(folder / place) as entries:
            seen = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        told = f"cannot be read ({error.strerror}); make it readable or unpack the dataset again"
        faults.append(Fault(place or ".", told))
        return
    yield from (e for e in seen if not e.name.startswith(".") and e.name != ARCHIVER)


def _is_folder(entry: os.DirEntry[str], follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _misplaced_faults(
    misplaced: Iterable[str], places: re.Pattern[str], any_in_place: bool
) -> list[Fault]:
    """Images where the layout has no place; a whole dataset one folder further in is one fault."""
    faults, inner = [], {}
    for path in misplaced:
        outer, _, rest = path.partition("/")
        if _holds_images(rest.rpartition("/")[0], places):
            inner[outer] = inner.get(outer, 0) + 1
        else:
            told = "is an image where this layout has no place for one; it is left out"
            faults.append(Fault(path, told, "odd"))
    for outer, count in inner.items():
        told = f"holds {count:,} images of this layout one folder further in; "
        told += "they are left out" if any_in_place else f"give {outer} as the dataset's folder"
        faults.append(Fault(outer, told, "odd" if any_in_place else "wrong"))
    return faults
