"""Finds the image files of a folder in one walk, without opening any of them."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jreid.data.layouts.layout import UNPRINTABLE, Fault, first_of
from jreid.errors import counted

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")  # in small or capital letters
# Image formats that jreid does not read.
OTHER_SUFFIXES = re.compile(
    r"\.(?:avif|dib|gif|hei[cf]|jfif|jp2|jpe|pgm|ppm|tga|tiff?|webp)", re.IGNORECASE
)
ARCHIVER = "__MACOSX"  # a folder that an archiver leaves behind, with hidden files


class Found(NamedTuple):
    """What a walk found; all paths are relative to the dataset's folder, with `/`.

    Attributes:
        images: from an image's name to its path, sorted. The name is the path without suffix, or
            with suffix if two images would have the same name.
        folders: every folder.
        faults: what is wrong or odd about them.
    """

    images: dict[str, str]
    folders: set[str]
    faults: list[Fault]


class _Walk(NamedTuple):
    """What the walk collects: the paths of images, and the files left out, with the reason."""

    images: list[str]
    folders: set[str]
    faults: list[Fault]
    misplaced: list[str]
    unread: list[str]
    hidden: list[str]
    links: list[str]


def find_images(folder: Path, places: re.Pattern[str] | None, keep_suffixes: bool = False) -> Found:
    """The image files in the folders that a layout has; the rest is counted and left out.

    Args:
        places: matches the layout's folders; its group `identity` matches in those that hold
            images. Only links to these folders are followed, and behind a link only these folders
            are entered; so links cannot form a loop or lead through a whole disk. None: every
            folder holds images, and no link to a folder is followed.
        keep_suffixes: whether `a.jpg` and `a.png` are two images, which then keep their suffixes;
            if not, they are a fault.
    """
    walk = _Walk([], {""}, [], [], [], [], [])
    todo = [("", False, False)]
    while todo:
        place, linked, hidden = todo.pop()
        home = places is None or _holds_images(place, places)
        for entry in _scan(folder, place, _kind(place, places), [] if hidden else walk.faults):
            path = f"{place}/{entry.name}" if place else entry.name
            in_layout = places is not None and places.fullmatch(path) is not None
            is_hidden = hidden or entry.name.startswith(".") or entry.name == ARCHIVER
            if _is_folder(entry, follow=in_layout and not is_hidden):
                if is_hidden:
                    todo.append((path, False, True))
                elif (in_layout or not linked) and _is_text(path, walk.faults, _kind(path, places)):
                    walk.folders.add(path)
                    todo.append((path, linked or entry.is_symlink(), False))
            elif places is None and not is_hidden and _is_folder(entry, follow=True):
                walk.links.append(_printable(path))
            else:
                _sort_in(path, entry, home, is_hidden, walk)
    images, faults = _named(sorted(walk.images), keep_suffixes)
    if places:
        faults += _one_folder_deeper(walk, places)
    return Found(images, walk.folders, [*walk.faults, *faults, *_notes(walk)])


def _sort_in(path: str, entry: os.DirEntry[str], home: bool, hidden: bool, walk: _Walk) -> None:
    """Adds an image to the list of the walk that it belongs to; ignores other kinds of files."""
    suffix = os.path.splitext(path)[1]
    is_read = suffix.lower() in SUFFIXES
    if not is_read and not OTHER_SUFFIXES.fullmatch(suffix):
        return
    if hidden:
        walk.hidden.append(_printable(path))
    elif not is_read:
        walk.unread.append(_printable(path))
    elif not home:
        walk.misplaced.append(_printable(path))
    elif not _is_text(path, walk.faults):
        return
    elif not _is_file(entry):
        message = "is a broken link or not a regular file; replace it by the image"
        walk.faults.append(Fault(path, message, "missing"))
    else:
        walk.images.append(path)


def _kind(place: str, places: re.Pattern[str] | None) -> str:
    """How bad it is that a folder cannot be used: only those of the layout hold its images."""
    needed = places is None or not place or places.fullmatch(place)
    return "error" if needed else "warning"


def _is_text(path: str, faults: list[Fault], kind: str = "error") -> bool:
    if not UNPRINTABLE.search(path):
        return True
    message = "has a name that is not plain UTF-8 text; rename it"
    faults.append(Fault(_printable(path), message, kind))
    return False


def _printable(path: str) -> str:
    return UNPRINTABLE.sub("?", path)


def _named(paths: Sequence[str], keep_suffixes: bool) -> tuple[dict[str, str], list[Fault]]:
    """The images by name, and those that have the same name as another one."""
    stems = Counter(os.path.splitext(path)[0] for path in paths)
    whole, images, faults = {*paths}, {}, []
    for path in paths:
        stem = os.path.splitext(path)[0]
        # A name with suffix must differ from all names without suffix: a.png and a.png.jpg.
        if keep_suffixes and (stems[stem] > 1 or stem in whole):
            images[path] = path
        elif stem in images:
            message = f"has the name of {images[stem]}; remove one of the two"
            faults.append(Fault(path, message))
        else:
            images[stem] = path
    return dict(sorted(images.items())), faults


def outermost_gone(place: str, folders: set[str]) -> str:
    """The outermost missing folder of a missing image's path, or the image itself."""
    parts = place.split("/")
    ways = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((way for way in ways if way not in folders), place)


def _holds_images(place: str, places: re.Pattern[str]) -> bool:
    match = places.fullmatch(place)
    return match is not None and match["identity"] is not None


def _scan(folder: Path, place: str, kind: str, faults: list[Fault]) -> Iterator[os.DirEntry[str]]:
    """A folder's entries by name; a fault of this kind if it cannot be read."""
    try:
        with os.scandir(folder / place) as entries:
            seen = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        needed = "make it readable or unpack the dataset again"
        remedy = needed if kind == "error" else "it is left out"
        message = f"cannot be read ({error.strerror}); {remedy}"
        faults.append(Fault(place or ".", message, kind))
        return
    yield from seen


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


def _one_folder_deeper(walk: _Walk, places: re.Pattern[str]) -> list[Fault]:
    """Reports a whole dataset one folder too deep as one fault, and drops its images."""
    inner: Counter[str] = Counter()
    for path in walk.misplaced:
        outer, _, rest = path.partition("/")
        if _holds_images(rest.rpartition("/")[0], places):
            inner[outer] += 1
    walk.misplaced[:] = [path for path in walk.misplaced if path.partition("/")[0] not in inner]
    faults = []
    for outer, count in sorted(inner.items()):
        message = f"holds {counted(count, 'images')} of this layout one folder deeper; "
        message += "they are left out" if walk.images else f"give {outer} as the dataset's folder"
        faults.append(Fault(outer, message, "warning" if walk.images else "error"))
    return faults


def _notes(walk: _Walk) -> list[Fault]:
    """The files that are left out, one note for each kind."""
    kinds = (
        (walk.misplaced, "images in places that this layout does not have", ""),
        (walk.unread, "files of other formats", "; convert what you need to .png"),
        (walk.hidden, "images in hidden files and folders", ""),
        (walk.links, "links to folders", ""),
    )
    notes = []
    for paths, what, remedy in kinds:
        suffixes = Counter(os.path.splitext(path)[1].lower() for path in paths)
        by_suffix = [f"{count:,} {suffix}" for suffix, count in sorted(suffixes.items()) if suffix]
        suffixes_found = f" ({', '.join(by_suffix)})" if by_suffix else ""
        message = f"holds {counted(len(paths), what)}{suffixes_found}, left out{remedy}; "
        message += first_of(sorted(paths))
        notes += [Fault("the folder", message, "warning")] if paths else []
    return notes
