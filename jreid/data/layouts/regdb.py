"""RegDB's folder as its authors ship it, listed and checked.

Source of the layout: Nguyen et al., Person Recognition System Based on a Combination of Body
Images from Visible Light and Thermal Cameras, Sensors 17(3), 2017, with the ten splits of Ye et
al., Hierarchical Discriminative Learning for Visible Thermal Person Re-Identification, AAAI 2018.
The two halves of its double camera are numbered 1 (visible) and 2 (infrared) here.
"""

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from jreid.data.layouts.find_images import find_images
from jreid.data.layouts.layout import Count, Fault, Group, Listing, Row
from jreid.data.layouts.list_files import (
    Entry,
    first_places,
    listed_rows,
    merge_splits,
    missing_faults,
    read_entries,
)
from jreid.datasets import INFRARED, SETTINGS, VISIBLE
from jreid.errors import InputError

FOLDERS = {"Visible": (1, VISIBLE), "Thermal": (2, INFRARED)}  # camera, modality
PLACES = re.compile("(?:Visible|Thermal)(?:/(?P<identity>[1-9][0-9]{0,8}))?")

SETTING = SETTINGS["regdb"]
COUNTS: Mapping[Group, Count] = {
    Group(split, modality, camera): Count(206, 2060)
    for split in ("train", "test")
    for camera, modality in FOLDERS.values()
}
APPLY = "RegDB is sent by its authors at Dongguk University on request."


def list_images(folder: Path, trial: int = 0) -> Listing:
    """Every image that a trial lists, and everything that is wrong with the folder.

    The identity is the number of the folder. Each trial's lists name every image of the dataset.

    Args:
        trial: 1 to 10; 0 checks the lists of all ten and returns the rows of the first.

    Raises:
        InputError: there is no such trial.
    """
    if trial and SETTING.fault(trial):
        raise InputError(f"RegDB has no trial {trial}: {SETTING.fault(trial)}.")
    found = find_images(folder, PLACES)
    faults = [*found.faults]
    trials = [trial] if trial else range(1, len(SETTING.choices) + 1)
    entries: list[Entry] = []
    strangers: dict[str, list[int]] = {}
    rows: list[Row] = []
    for number in trials:
        by_split, whole = _read_trial(folder, number, faults)
        both = [entry for split in by_split.values() for entry in split]
        named = {entry.name for entry in both}
        for name in found.images if whole else ():
            if name not in named:
                strangers.setdefault(name, []).append(number)
        if number == trials[0]:
            rows = listed_rows(folder, by_split, found, _label)
        entries += both
    faults.extend(missing_faults(entries, found))
    for name, numbers in strangers.items():
        message = (
            f"is in no list of {_trials(numbers)}; unpack the dataset again into an empty folder"
        )
        faults.append(Fault(found.images[name], message))
    return Listing(rows, faults, {})


def _list_file(split: str, place: str, trial: int) -> str:
    return f"idx/{split}_{place.lower()}_{trial}.txt"


def _read_trial(
    folder: Path, trial: int, faults: list[Fault]
) -> tuple[dict[str, list[Entry]], bool]:
    """The images in a trial's lists by split, and whether all lists exist and are not empty."""
    by_split: dict[str, list[Entry]] = {"train": [], "test": []}
    whole = True
    for split, place in product(by_split, FOLDERS):
        form = f"{place}/(?P<identity>[1-9][0-9]{{0,8}})/[^/]+"
        entries = read_entries(folder, _list_file(split, place, trial), form, faults)
        by_split[split] += entries
        whole = whole and bool(entries)
    merge_splits(first_places(by_split), faults)
    return by_split, whole


def _label(entry: Entry) -> tuple[str, int]:
    """The modality and the camera of an image."""
    camera, modality = FOLDERS[entry.name.split("/")[0]]
    return modality, camera


def _trials(numbers: list[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
