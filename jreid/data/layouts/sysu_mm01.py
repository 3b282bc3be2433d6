"""SYSU-MM01's folder as its authors ship it, listed and checked.

Source of the layout: Wu et al., RGB-Infrared Cross-Modality Person Re-Identification, ICCV 2017,
and its README. The file of the official gallery draw numbers the images of each identity in each
camera, and so it is the manifest of the folder. The synthetic dataset has the same layout.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jreid.data.layouts.find_images import Found, find_images, outermost_gone
from jreid.data.layouts.layout import Count, Fault, Group, Listing, Row
from jreid.data.layouts.list_files import (
    UNPACK,
    Entry,
    merge_splits,
    missing_faults,
    read_identities,
)
from jreid.data.layouts.mat_file import read_cells
from jreid.data.table import GalleryIndex
from jreid.datasets import INFRARED, VISIBLE
from jreid.errors import InputError

CAMERA_MODALITY = {1: VISIBLE, 2: VISIBLE, 3: INFRARED, 4: VISIBLE, 5: VISIBLE, 6: INFRARED}
SPLIT_FILES = {
    "train": "exp/train_id.txt",
    "validation": "exp/val_id.txt",
    "test": "exp/test_id.txt",
}
GALLERY_FILE, GALLERY_CELLS = "exp/rand_perm_cam.mat", "rand_perm_cam"
PLACES = re.compile("cam[1-6](?:/(?P<identity>[0-9]{4}))?")

COUNTS: Mapping[Group, Count] = {
    Group("train", VISIBLE, 1): Count(194, 4721),
    Group("train", VISIBLE, 2): Count(195, 5753),
    Group("train", VISIBLE, 4): Count(283, 4821),
    Group("train", VISIBLE, 5): Count(294, 4989),
    Group("train", INFRARED, 3): Count(293, 5929),
    Group("train", INFRARED, 6): Count(200, 4000),
    Group("validation", VISIBLE, 4): Count(99, 990),
    Group("validation", VISIBLE, 5): Count(96, 984),
    Group("validation", INFRARED, 3): Count(99, 1980),
    Group("test", VISIBLE, 1): Count(56, 1374),
    Group("test", VISIBLE, 2): Count(56, 1565),
    Group("test", VISIBLE, 4): Count(94, 1918),
    Group("test", VISIBLE, 5): Count(95, 1918),
    Group("test", INFRARED, 3): Count(93, 1883),
    Group("test", INFRARED, 6): Count(96, 1920),
}
APPLY = (
    "SYSU-MM01 is sent by its authors at Sun Yat-sen University against a signed agreement; its "
    "archive lacks exp/rand_perm_cam.mat, which is in the folder data_split of the repository of "
    "their evaluation."
)


class Label(NamedTuple):
    """The label that an image's path gives."""

    identity: int
    camera: int
    modality: str


def label_of(path: Path) -> Label | None:
    """The label of a path such as `cam3/0006/0012.jpg`; None for any other path."""
    match = re.search(r"/cam([1-6])/(\d{4})/\d{4}$", path.resolve().with_suffix("").as_posix())
    if not match:
        return None
    camera = int(match[1])
    return Label(int(match[2]), camera, CAMERA_MODALITY[camera])


def read_gallery_index(path: Path) -> GalleryIndex:
    """The official gallery draw, `rand_perm_cam.mat`; pairs without images are left out.

    Raises:
        InputError: the file is missing or has another form.
    """
    if not os.path.isfile(path):
        raise InputError(
            f"{path} is missing; it is not in the dataset's archive: take it from the repository "
            "of the official SYSU-MM01 evaluation, folder data_split."
        )
    try:
        cameras = read_cells(path, GALLERY_CELLS)
        index = {
            (camera, identity): cell
            for camera, cells in enumerate(_column(cameras), 1)
            for identity, cell in enumerate(_column(cells), 1)
            if cell.shape[1]
        }
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} does not have the official form ({error}); download it again."
        ) from error
    wrong = [pair for pair, draws in index.items() if not _permutations(draws)]
    if wrong:
        raise InputError(
            f"{path} has rows of camera {wrong[0][0]}, identity {wrong[0][1]}, that are not "
            "permutations of its images; download it again."
        )
    return {pair: draws.astype(np.int64) for pair, draws in index.items()}


def _column(cells: np.ndarray) -> np.ndarray:
    """The entries of a column of cells."""
    if cells.dtype != object or cells.ndim != 2 or cells.shape[1] != 1:
        raise ValueError(f"{GALLERY_CELLS} is not a column of cells for each camera")
    return cells[:, 0]


def _permutations(draws: np.ndarray) -> bool:
    if draws.ndim != 2 or draws.dtype == object or not len(draws):
        return False
    return bool((np.sort(draws, axis=1) == np.arange(1, draws.shape[1] + 1)).all())


def list_images(folder: Path, setting: int = 0) -> Listing:
    """Every image of the listed identities, and everything that is wrong with the folder.

    Identities in no list are left out: the authors ship 22 that are seen in one modality only.

    Args:
        setting: not used; there is none.
    """
    found = find_images(folder, PLACES)
    faults = [*found.faults]
    listed = {split: read_identities(folder, file, faults) for split, file in SPLIT_FILES.items()}
    identities = merge_splits(listed, faults)
    index = _gallery_index_or_fault(folder, faults)
    by_place: dict[str, tuple[int, int]] = {
        f"cam{camera}/{identity:04d}": (camera, identity)
        for camera in CAMERA_MODALITY
        for identity in identities
    }
    rows = []
    for name, file in found.images.items():
        place, number = name.rsplit("/", 1)
        if place not in by_place:
            continue
        camera, identity = by_place[place]
        if _is_named(number, index, camera, identity):
            split = identities[identity][0]
            row = Row(name, identity, camera, CAMERA_MODALITY[camera], split, folder / file)
            rows.append(row)
        else:
            message = f"is not in {GALLERY_FILE}; unpack the dataset again into an empty folder"
            faults.append(Fault(file, message))
    faults.extend(_absences(found, identities, index))
    return Listing(rows, faults, index)


def _gallery_index_or_fault(folder: Path, faults: list[Fault]) -> GalleryIndex:
    path = folder / GALLERY_FILE
    try:
        return read_gallery_index(path)
    except InputError as error:
        message = str(error).removeprefix(f"{path} ").removesuffix(".")
        kind = "missing" if message.startswith("is missing") else "error"
        faults.append(Fault(GALLERY_FILE, message, kind))
        return {}


def _is_named(number: str, index: GalleryIndex, camera: int, identity: int) -> bool:
    """Whether the index, if there is one, has the image with this number."""
    if not re.fullmatch("[0-9]{4}", number):
        return False
    draws = index.get((camera, identity))
    return not index or (draws is not None and 1 <= int(number) <= draws.shape[1])


def _absences(
    found: Found, identities: Mapping[int, tuple[str, str]], index: GalleryIndex
) -> list[Fault]:
    """Identities, camera folders and images that are listed but missing."""
    there = {int(name.split("/")[1]) for name in found.images}
    entries: dict[int, list[Entry]] = {identity: [] for identity in identities}
    for (camera, identity), draws in index.items():
        if identity in entries:
            place = f"cam{camera}/{identity:04d}"
            entries[identity] += [
                Entry(GALLERY_FILE, f"{place}/{number:04d}", identity)
                for number in range(1, draws.shape[1] + 1)
            ]
    faults, missing = [], []
    for identity, named in entries.items():
        gone = {outermost_gone(entry.name, found.folders) for entry in named}
        if identity in there or (gone and all("/" not in part for part in gone)):
            missing += named
        else:
            kind = "error" if index and not named else "missing"
            message = f"names identity {identity}, who has no image in the folder; {UNPACK}"
            faults.append(Fault(identities[identity][1], message, kind))
    return faults + missing_faults(missing, found)
