"""Your own dataset, without code: folders by modality and identity, and one list.

```
visible/IDENTITY/*.jpg    infrared/IDENTITY/*.jpg    (or .jpeg, .png, .bmp)
splits.txt                lines `IDENTITY SPLIT`; SPLIT is train, validation or test
```
In splits.txt, `#` at the start of a line or after a space starts a comment. IDENTITY is a folder's
name; its accents may be in any Unicode form. If all names in splits.txt are whole numbers, these
are the identities; otherwise the identities are numbered from 1 in the order of the names. Without
splits.txt all folders are identities, and `drawn_split` splits them.

A file's name may hold its camera: `c3`, `c03`, `cam3`, `camera3` or Market-1501's `c3s1` between
underscores, hyphens and the name's ends, or MSMT17's `0000_000_03_0303morning_`. Without that,
visible images are of camera 1 and infrared ones of camera 2; or of the first camera from 3 that no
name has, if the other modality's names have that one.
"""

import itertools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from jreid.data.layouts.find_images import Found, find_images
from jreid.data.layouts.layout import UNPRINTABLE, Count, Fault, Group, Listing, Row, first_of
from jreid.data.layouts.list_files import read_lines, whole_number
from jreid.datasets import INFRARED, MODALITIES, SPLITS, VISIBLE
from jreid.errors import counted

PLACES = re.compile("(?:visible|infrared)(?:/(?P<identity>[^/]+))?")
SPLIT_FILE = "splits.txt"
CAMERA = re.compile(
    r"(?<![^_-])c(?:am(?:era)?)?([0-9]{1,4})(?:s[0-9]+)?(?![^_-])"
    r"|^[0-9]{4}_[0-9]{3}_([0-9]{2})_[0-9]{4}(?:morning|noon|afternoon)_",
    re.IGNORECASE,
)
CAMERA_OF_ALL: Mapping[str, int] = {VISIBLE: 1, INFRARED: 2}

COUNTS: Mapping[Group, Count] = {}
APPLY = (
    "A dataset of your own has folders visible/IDENTITY and infrared/IDENTITY, and may have a "
    "file splits.txt of lines IDENTITY SPLIT, where SPLIT is train, validation or test."
)


def list_images(folder: Path, setting: int = 0) -> Listing:
    """Every image of the identities in splits.txt, and everything that is wrong with the folder.

    Without splits.txt it lists all identities, without splits.

    Args:
        setting: not used; there is none.
    """
    found = find_images(folder, PLACES, keep_suffixes=True)
    faults = [*found.faults]
    has_list = os.path.lexists(folder / SPLIT_FILE)
    splits = _read_splits(folder, faults) if has_list else _unsplit(found)
    numbers = _number(splits, faults)
    named = _named_cameras(found, splits, faults)
    unnamed = _unnamed_cameras(named)
    rows = []
    for name, camera in named.items():
        modality, identity = name.split("/")[0], _identity_of(name)
        split, path = splits[identity][0], folder / found.images[name]
        rows.append(
            Row(name, numbers[identity], camera or unnamed[modality], modality, split, path)
        )
    faults.extend(_camera_notes(rows, unnamed))
    if splits:
        faults.extend(_left_out(found, splits))
    faults.extend(_absences(found, splits))
    names = {number: identity for identity, number in numbers.items()}
    return Listing(rows, faults, {}, names)


def _unsplit(found: Found) -> dict[str, tuple[str, str]]:
    """From every identity folder to an empty split and the folder's path."""
    places = {_identity_of(name): name.rpartition("/")[0] for name in found.images}
    return {identity: ("", places[identity]) for identity in sorted(places)}


def _identity_of(name: str) -> str:
    """The name of an image's folder, in one Unicode form, since there are several."""
    return unicodedata.normalize("NFC", name.split("/")[1])


def _named_cameras(found: Found, splits: Collection[str], faults: list[Fault]) -> dict[str, int]:
    """The images of the identities in the list, and the camera in each file's name; 0 for none."""
    named = {}
    for name, file in found.images.items():
        if _identity_of(name) not in splits:
            continue
        cameras = {int(match[1] or match[2]) for match in CAMERA.finditer(Path(file).stem)}
        if len(cameras) > 1 or 0 in cameras:
            message = f"names the cameras {sorted(cameras)}; name one, from 1, or none"
            faults.append(Fault(file, message))
        else:
            named[name] = cameras.pop() if cameras else 0
    return named


def _unnamed_cameras(named: Mapping[str, int]) -> dict[str, int]:
    """The camera of each modality's images that name none.

    It is a camera that the other modality does not have, since a query skips the images of its
    identity from its own camera.
    """
    visible, infrared = (
        {camera for name, camera in named.items() if name.startswith(f"{modality}/")}
        for modality in MODALITIES
    )
    free = (number for number in itertools.count(3) if number not in visible | infrared)
    return {
        modality: next(free) if CAMERA_OF_ALL[modality] in others else CAMERA_OF_ALL[modality]
        for modality, others in ((VISIBLE, infrared), (INFRARED, visible))
    }


def _camera_notes(rows: Sequence[Row], unnamed: Mapping[str, int]) -> list[Fault]:
    """Notes on modalities with file names without a camera, and on those with one camera."""
    notes = []
    for modality in MODALITIES:
        mine = [row for row in rows if row.modality == modality]
        silent = [row.name for row in mine if not CAMERA.search(row.path.stem)]
        cameras = {row.camera for row in mine}
        if silent:
            (other,) = {*MODALITIES} - {modality}
            message = (
                f"has {len(silent):,} of {len(mine):,} images without a camera in their names; "
                f"they count as camera {unnamed[modality]}, which no {other} image has; "
                f"{first_of(silent)}"
            )
            notes.append(Fault(modality, message, "note"))
        elif len(cameras) == 1:
            message = f"has {counted(len(mine), 'images')}, all of camera {cameras.pop()}"
            notes.append(Fault(modality, message, "note"))
    return notes


def _left_out(found: Found, splits: Collection[str]) -> list[Fault]:
    """The folders of identities that the list does not name."""
    counts = Counter(name.rpartition("/")[0] for name in found.images)
    places = [place for place in counts if _identity_of(place) not in splits]
    if not places:
        return []
    images = sum(counts[place] for place in places)
    message = (
        f"does not name {counted(len(places), 'folders')}, {counted(images, 'images')}, left out; "
    )
    return [Fault(SPLIT_FILE, message + first_of(places), "warning")]


def _absences(found: Found, splits: Mapping[str, tuple[str, str]]) -> list[Fault]:
    """Modalities and identities without an image."""
    faults = []
    for modality in MODALITIES:
        if not any(name.startswith(f"{modality}/") for name in found.images):
            empty = modality in found.folders
            what = "holds no image in a folder of an identity" if empty else "is missing"
            remedy = f"put the {modality} images into folders {modality}/IDENTITY"
            faults.append(Fault(modality, f"{what}; {remedy}"))
    there = {_identity_of(name) for name in found.images}
    for identity, (_, place) in splits.items():
        if identity not in there:
            message = f"names identity {identity}, who has no image in visible or infrared; "
            faults.append(Fault(place, f"{message}add a folder of this name or remove the line"))
    return faults


def _read_splits(folder: Path, faults: list[Fault]) -> dict[str, tuple[str, str]]:
    """From identity folder to its split and the line that gives it."""
    remedy = "write one line IDENTITY SPLIT for each identity"
    splits: dict[str, tuple[str, str]] = {}
    lines = read_lines(folder, SPLIT_FILE, faults, remedy)
    texts = [unicodedata.normalize("NFC", re.sub(r"(^|\s)#.*", "", line.text)) for line in lines]
    if lines and not any(map(str.strip, texts)):
        faults.append(Fault(SPLIT_FILE, f"names no identity; {remedy}"))
    for line, text in zip(lines, texts, strict=True):
        if not text.strip():
            continue
        *identities, split = text.rsplit(maxsplit=1)
        identity = "".join(identities)
        if not identity or split not in SPLITS or UNPRINTABLE.search(identity):
            message = f"is {text[:60]!a}, not IDENTITY and one of {', '.join(SPLITS)}; correct it"
            faults.append(Fault(line.place, message))
        elif identity in splits:
            split, place = splits[identity]
            message = (
                f"names identity {identity} again, which {place} puts into {split}; remove one"
            )
            faults.append(Fault(line.place, message))
        else:
            splits[identity] = split, line.place
    return splits


def _number(splits: Mapping[str, tuple[str, str]], faults: list[Fault]) -> dict[str, int]:
    """The identities' numbers."""
    if any(whole_number(identity) is None for identity in splits):
        return {identity: number for number, identity in enumerate(sorted(splits), 1)}
    numbers = {identity: int(identity) for identity in splits}
    names: dict[int, str] = {}
    for identity, number in numbers.items():
        if names.setdefault(number, identity) != identity:
            message = f"names identity {identity}, the same number as {names[number]}; rename one"
            faults.append(Fault(splits[identity][1], message))
    return numbers
