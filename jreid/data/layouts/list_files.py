"""Reads the text files that list images and splits, and finds everything that is wrong in them.

Every function adds the faults that it finds to `faults`, and returns the valid rest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jreid.data.layouts.find_images import Found, outermost_gone
from jreid.data.layouts.layout import UNPRINTABLE, Fault, Row
from jreid.errors import counted
from jreid.files import read_limited

AGAIN = "take the list from the dataset's archive again"
UNPACK = "unpack the dataset again"


class Line(NamedTuple):
    """A line that is not blank; `place` is `FILE:LINE`."""

    place: str
    text: str


class Entry(NamedTuple):
    """A line `PATH LABEL`: the image's name and its identity, which is its folder's."""

    place: str
    name: str
    identity: int


def whole_number(text: str) -> int | None:
    """0 or more, in at most nine digits; None for any other text."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text.strip()) else None


def read_lines(folder: Path, file: str, faults: list[Fault], remedy: str = AGAIN) -> list[Line]:
    """The lines of a UTF-8 text; byte order marks, odd line ends and blank lines give notes."""
    path = folder / file
    try:
        if not path.is_file():
            gone = file if path.parent.is_dir() else str(Path(file).parent)
            fault = Fault(gone, f"is missing; {remedy}", "missing")
            faults += [fault] if fault not in faults else []
            return []
        content = read_limited(path)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        faults.append(Fault(f"{file}:{line}", f"is not UTF-8 text; {remedy}"))
        return []
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        faults.append(Fault(file, f"cannot be read ({cause}); {remedy}"))
        return []
    if content.startswith(b"\xef\xbb\xbf"):
        message = "begins with a byte order mark, which is ignored"
        faults.append(Fault(f"{file}:1", message, "note"))
    if "\r" in text:
        faults.append(Fault(file, "has line ends of another system, which are ignored", "note"))
    texts = re.split("\r\n|\r|\n", text.rstrip())
    lines = [Line(f"{file}:{n}", text.strip()) for n, text in enumerate(texts, 1)]
    blank = [line.place for line in lines if not line.text]
    if len(blank) == len(lines):
        faults.append(Fault(file, f"is empty; {remedy}"))
    elif blank:
        faults.append(Fault(blank[0], "is blank, which is ignored", "note"))
    return [line for line in lines if line.text]


def read_identities(folder: Path, file: str, faults: list[Fault]) -> dict[int, str]:
    """The identities of a list of one line, separated by commas, and the place of each."""
    identities: dict[int, str] = {}
    lines = read_lines(folder, file, faults)
    for line in lines[1:]:
        faults.append(Fault(line.place, f"is an extra line in a list of one line; {AGAIN}"))
    for line in lines:
        for text in line.text.removesuffix(",").split(","):
            identity = whole_number(text)
            if not identity:
                message = f"names {_quoted(text.strip())}, which is not an identity; {AGAIN}"
                faults.append(Fault(line.place, message))
            elif identity in identities:
                faults.append(Fault(line.place, f"names identity {identity} twice; {AGAIN}"))
            else:
                identities[identity] = line.place
    return identities


def read_entries(
    folder: Path,
    file: str,
    form: str,
    faults: list[Fault],
    *,
    from_zero: bool = True,
    resolve: Callable[[str], str] = str,
) -> list[Entry]:
    """The images of a list of lines `PATH LABEL`.

    The label must be a whole number, and labels and identities must correspond one to one.

    Args:
        form: matches a path without suffix; its group `identity` is the number of the folder.
        from_zero: whether the labels of n identities are 0 to n - 1.
        resolve: from the name of an image in the list to its name on disk.
    """
    pattern = re.compile(rf"(?P<name>{form})\.\w+")
    entries: dict[str, Entry] = {}
    labels: list[int | None] = []
    lines = read_lines(folder, file, faults)
    for line in lines:
        columns = line.text.split()
        match = pattern.fullmatch(columns[0])
        fault = ""
        if len(columns) != 2:
            fault = f"has {counted(len(columns), 'columns')}, not PATH LABEL"
        elif columns[0][0] in "/\\" or ".." in re.split(r"[/\\]", columns[0]):
            fault = f"names {_quoted(columns[0])}, which is outside of the dataset"
        elif not match or UNPRINTABLE.search(columns[0]):
            fault = f"names {_quoted(columns[0])}, which does not belong in this list"
        elif (name := resolve(match["name"])) in entries:
            fault = f"names {match['name']} again, after {entries[name].place}"
        else:
            entries[name] = Entry(line.place, name, int(match["identity"]))
            labels.append(whole_number(columns[1]))
            if labels[-1] is None:
                fault = f"has the label {_quoted(columns[1])}, which is not a whole number"
        if fault:
            faults.append(Fault(line.place, f"{fault}; {AGAIN}"))
    whole = len(entries) == len(lines)  # if a line is invalid, its label would seem to be missing
    faults.extend(_label_faults(list(entries.values()), labels, from_zero and whole))
    return list(entries.values())


def _label_faults(
    entries: Sequence[Entry], labels: Sequence[int | None], from_zero: bool
) -> list[Fault]:
    """The faults of labels and identities that do not correspond one to one."""
    by_identity: dict[int, int] = {}
    by_label: dict[int, int] = {}
    faults = []
    count = len({entry.identity for entry in entries})
    for entry, label in zip(entries, labels, strict=True):
        if label is None:
            continue
        given = f"gives identity {entry.identity} the label {label}"
        if by_identity.setdefault(entry.identity, label) != label:
            what = f"{given}, but earlier {by_identity[entry.identity]}"
        elif by_label.setdefault(label, entry.identity) != entry.identity:
            what = f"{given}, which identity {by_label[label]} has"
        elif from_zero and label >= count:
            what = f"has the label {label}, but those of {count} identities are 0 to {count - 1}"
        else:
            continue
        faults.append(Fault(entry.place, f"{what}; {AGAIN}"))
    return faults


def merge_splits(
    by_split: Mapping[str, Mapping[int, str]], faults: list[Fault]
) -> dict[int, tuple[str, str]]:
    """From the identities of each split, with their places, to the split and place of each.

    An identity that is in two splits is a fault, and stays in the first.
    """
    merged: dict[int, tuple[str, str]] = {}
    for split, identities in by_split.items():
        for identity, place in identities.items():
            first = merged.setdefault(identity, (split, place))[0]
            if first != split:
                message = f"names identity {identity}, which is in the {first} split too; {AGAIN}"
                faults.append(Fault(place, message))
    return merged


def first_places(by_split: Mapping[str, Sequence[Entry]]) -> dict[str, dict[int, str]]:
    """From the images of each split to its identities, with the first line of each."""
    return {
        split: {entry.identity: entry.place for entry in reversed(entries)}
        for split, entries in by_split.items()
    }


def listed_rows(
    folder: Path,
    by_split: Mapping[str, Sequence[Entry]],
    found: Found,
    label: Callable[[Entry], tuple[str, int]],
) -> list[Row]:
    """The rows of the listed images that are there, sorted by name.

    An image in two splits is a fault of `merge_splits`, and stays in the first.

    Args:
        label: from an image to its modality and its camera; those of camera 0 are left out.
    """
    rows: dict[str, Row] = {}
    for split, entries in by_split.items():
        for entry in entries:
            if (file := found.images.get(entry.name)) and entry.name not in rows:
                modality, camera = label(entry)
                if camera:
                    path = folder / file
                    row = Row(entry.name, entry.identity, camera, modality, split, path)
                    rows[entry.name] = row
    return [rows[name] for name in sorted(rows)]


def missing_faults(entries: Sequence[Entry], found: Found) -> list[Fault]:
    """The faults of images that are listed but missing; a missing folder is one fault."""
    gone: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.name not in found.images:
            part = outermost_gone(entry.name, found.folders)
            gone.setdefault(part, {}).setdefault(entry.name, entry.place)
    faults = []
    for part, names in gone.items():
        name, place = next(iter(names.items()))
        what = "image" if part == name else f"folder, with {len(names):,} of its images"
        message = f"names {part}, a missing {what}; {UNPACK}"
        faults.append(Fault(place, message, "missing"))
    return faults


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:60]}...")
