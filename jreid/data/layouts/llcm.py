"""LLCM's folder as its authors ship it, listed and checked.

Source of the layout: Zhang and Wang, Diverse Embedding Expansion Network and Low-Light Cross-
Modality Benchmark for Visible-Infrared Person Re-identification, CVPR 2023, and its code. We have
not seen the dataset itself. Where public programs read it in different ways, jreid does this:

* A list of test images may name `test_nir/cam1/0003/FILE` or `nir/0003/FILE`. The second one is
  the image of that file name in `test_nir`, or the one in `nir` if `test_nir` has none.
* Images in `vis` and `nir` that no list names are left out with a warning: they may be copies of
  test images. In `test_vis` and `test_nir` they are errors: the released evaluation uses them.
* The camera is that of the file's name, `_c01_`; the numbers are the same for both modalities.
* The labels of the training lists are 0 to n - 1; those of the test lists may be the identities.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from jreid.data.layouts.find_images import Found, find_images
from jreid.data.layouts.layout import Count, Fault, Group, Listing
from jreid.data.layouts.list_files import (
    AGAIN,
    Entry,
    first_places,
    listed_rows,
    merge_splits,
    missing_faults,
    read_entries,
    read_identities,
)
from jreid.datasets import INFRARED, VISIBLE
from jreid.errors import counted

MODALITY = {"vis": VISIBLE, "nir": INFRARED}
TEST_FILE = "idx/test_id.txt"
PLACES = re.compile(
    "test_(?:vis|nir)|(?:vis|nir|test_(?:vis|nir)/cam[1-9])(?:/(?P<identity>[0-9]{4}))?"
)
FILE = re.compile("([0-9]+)_c([0-9]+)_.+")

COUNTS: Mapping[Group, Count] = {
    Group("train", VISIBLE, 0): Count(713, 16_946),
    Group("train", INFRARED, 0): Count(713, 13_975),
    Group("test", VISIBLE, 0): Count(351, 8_680),
    Group("test", INFRARED, 0): Count(351, 7_166),
}
APPLY = "LLCM is sent by its authors against a signed agreement."


def list_images(folder: Path, setting: int = 0) -> Listing:
    """Every image that the lists name, and everything that is wrong with the folder.

    Args:
        setting: not used; there is none.
    """
    found = find_images(folder, PLACES)
    faults = [*found.faults]
    by_split = {
        split: [
            entry for word in MODALITY for entry in _read_list(folder, split, word, found, faults)
        ]
        for split in ("train", "test")
    }
    places = first_places(by_split)
    merge_splits(places, faults)
    _check_test_identities(folder, places["test"], faults)
    entries = [*by_split["train"], *by_split["test"]]
    faults.extend(missing_faults(entries, found))
    faults.extend(_unnamed_faults(entries, found))

    def label(entry: Entry) -> tuple[str, int]:
        return MODALITY[_word(entry.name)], _camera(entry, found.images[entry.name], faults)

    return Listing(listed_rows(folder, by_split, found, label), faults, {})


def _word(name: str) -> str:
    return name.split("/")[0].removeprefix("test_")


def _read_list(
    folder: Path, split: str, word: str, found: Found, faults: list[Fault]
) -> list[Entry]:
    file = f"idx/{split}_{word}.txt"
    identity = "(?P<identity>[0-9]{4})"
    if split == "train":
        return read_entries(folder, file, f"{word}/{identity}/[^/]+", faults)
    on_disk = {}
    for name in found.images:
        if name.startswith(f"test_{word}/"):
            *_, person, stem = name.split("/")
            on_disk[f"{word}/{person}/{stem}"] = name
    form = f"(?:test_{word}/cam[1-9]|{word})/{identity}/[^/]+"
    return read_entries(
        folder, file, form, faults, from_zero=False, resolve=lambda name: on_disk.get(name, name)
    )


def _check_test_identities(folder: Path, places: Mapping[int, str], faults: list[Fault]) -> None:
    """Adds a fault if the list of test identities and the lists of test images differ."""
    named = read_identities(folder, TEST_FILE, faults)
    if not named or not places:
        return
    for identity in sorted(named.keys() - places.keys()):
        message = f"names identity {identity}, which the lists of test images do not have; {AGAIN}"
        faults.append(Fault(named[identity], message))
    for identity in sorted(places.keys() - named.keys()):
        message = f"names identity {identity}, which {TEST_FILE} does not have; {AGAIN}"
        faults.append(Fault(places[identity], message))


def _unnamed_faults(entries: Iterable[Entry], found: Found) -> list[Fault]:
    """The faults of images that no list names, if there is a list."""
    named = {entry.name for entry in entries}
    listed = {name.split("/")[0] for name in named}
    faults: list[Fault] = []
    for part in ("vis", "nir", "test_vis", "test_nir"):
        files = [
            file
            for name, file in found.images.items()
            if name.startswith(f"{part}/") and name not in named and part in listed
        ]
        if part.startswith("test_"):
            message = "is in no list; unpack the dataset again into an empty folder"
            faults += [Fault(file, message) for file in files]
        elif files:
            message = (
                f"holds {counted(len(files), 'images')} that no list names, first {files[0]}; "
            )
            faults.append(Fault(part, f"{message}they are left out", "warning"))
    return faults


def _camera(entry: Entry, file: str, faults: list[Fault]) -> int:
    """The camera in a file's name; 0, and a fault, if the name has none or contradicts a folder."""
    *parts, stem = entry.name.split("/")
    match = FILE.fullmatch(stem)
    identity, camera = (int(match[1]), int(match[2])) if match else (0, 0)
    other = {"vis": "nir", "nir": "vis"}[_word(entry.name)]
    fault = ""
    if not match or not 1 <= camera <= 9:
        fault = "has a name without identity and camera, such as 0001_c01_"
    elif identity != entry.identity:
        fault = f"has a name of identity {identity} in a folder of identity {entry.identity}"
    elif len(parts) == 3 and parts[1] != f"cam{camera}":
        fault = f"has a name of camera {camera} in a folder of {parts[1]}"
    elif stem.endswith(f"_{other}"):
        fault = f"has a name that ends in {other} in a folder of {_word(entry.name)}"
    if fault:
        faults.append(Fault(file, f"{fault}; unpack the dataset again"))
    return camera
