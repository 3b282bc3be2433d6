"""ORBench's visible and near-infrared images as its authors ship them, listed and checked.

Source of the layout: Zuo et al., ReID5o (NeurIPS 2025, arXiv 2506.09385), and its code. We have not
seen the dataset itself. Its drawings, sketches and captions are left out.

* The images are those of LLCM and SYSU-MM01, test people included; a file's name says whose.
* The identity is the number of the folder. The numbers in the lists are others, of one list each.
* Training: the visible images of `train_annos.json`, and all infrared images of the same folders,
  which no list names. Test: the lists `RGB_GALLERY` and `NIR` of the other file.
* Cameras keep their origins apart: LLCM's are 1 to 9, those of SYSU-MM01 are 11 to 16.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jreid.data.layouts.find_images import Found, find_images
from jreid.data.layouts.layout import Count, Fault, Group, Listing, Row, first_of
from jreid.data.layouts.list_files import (
    AGAIN,
    UNPACK,
    Entry,
    first_places,
    listed_rows,
    merge_splits,
    missing_faults,
)
from jreid.data.layouts.synthetic_label import LABEL_FILE
from jreid.datasets import INFRARED, VISIBLE
from jreid.errors import counted
from jreid.files import read_json

TRAIN, TEST = "train_annos.json", "test_gallery_and_queries.json"
LISTS = {"RGB_GALLERY": "vis", "NIR": "nir"}  # of the test file
COMPETITION = "train/text_annos.json"  # only the release for a competition has it
MODALITY = {"vis": VISIBLE, "nir": INFRARED}
TITLES = {"llcm": "LLCM", "sysu": "SYSU-MM01"}
SYSU_CAMERA = 10  # is added to the cameras of SYSU-MM01
PLACES = re.compile("(?:vis|nir)(?:/(?P<identity>[0-9]{4}))?")
PATH = re.compile(r"(?P<name>(?P<word>vis|nir)/(?P<folder>[0-9]{4})/[^/\\]+)\.jpg")
FILE = re.compile("(?P<folder>[0-9]{4})_(?:llcm_[0-9]+_c|sysu_[0-9]+_cam)(?P<camera>[0-9]+)_.+")
# Second-hand totals, so that another number is only a warning.
TOTALS = {VISIBLE: 45_113, INFRARED: 26_071}
IDENTITIES = 1_000

COUNTS: Mapping[Group, Count] = {}
APPLY = "ORBench has public links in its repository; its authors ask for a signed agreement."


def list_images(folder: Path, setting: int = 0) -> Listing:
    """Every visible and infrared image that the lists name, and everything that is wrong.

    Args:
        setting: not used; there is none.
    """
    found = find_images(folder, PLACES)
    faults = [*found.faults]
    by_split = {"train": _train(folder, found, faults), "test": _test(folder, faults)}
    merge_splits(first_places(by_split), faults)
    entries = [*by_split["train"], *by_split["test"]]
    faults.extend(missing_faults(entries, found))

    def label(entry: Entry) -> tuple[str, int]:
        return MODALITY[entry.name.split("/")[0]], _camera(entry, faults)

    listed = listed_rows(folder, by_split, found, label)
    faults.extend(_unnamed(found, {entry.name for entry in entries}))
    faults.extend(_origins(listed))
    if not (folder / LABEL_FILE).is_file():
        faults.extend(_totals(listed))
    return Listing(listed, faults, {})


def _train(folder: Path, found: Found, faults: list[Fault]) -> list[Entry]:
    """The visible images of the list, and all infrared images of their folders."""
    content = _read(folder, TRAIN, list, faults)
    objects = (one if isinstance(one, dict) else {} for one in content)
    named = [
        (f"{TRAIN}:{number}", one.get("id"), one.get("file_path"), "vis")
        for number, one in enumerate(objects, 1)
    ]
    entries = _entries(named, faults)
    for identity, place in first_places({"train": entries})["train"].items():
        home = f"nir/{identity:04d}"
        of_folder = [name for name in found.images if name.startswith(f"{home}/")]
        entries += [Entry(place, name, identity) for name in of_folder]
        if not of_folder:
            message = f"names identity {identity}, which has no images in {home}; {UNPACK}"
            faults.append(Fault(place, message, "missing"))
    return entries


def _test(folder: Path, faults: list[Fault]) -> list[Entry]:
    """The images of the gallery's and the infrared queries' lists."""
    if not (folder / TEST).is_file() and (folder / COMPETITION).is_file():
        message = "is missing: this is the release of a competition, which has no identities of "
        faults.append(Fault(TEST, f"{message}test images; take ORBench itself"))
        return []
    content = _read(folder, TEST, dict, faults)
    named = []
    for title, word in LISTS.items():
        pairs = content.get(title, [])
        if content and not isinstance(content.get(title), list):
            faults.append(Fault(TEST, f"has no list {title}; {AGAIN}"))
            pairs = []
        for number, one in enumerate(pairs, 1):
            label, path = one if isinstance(one, list) and len(one) == 2 else (None, None)
            named.append((f"{TEST}:{title}:{number}", label, path, word))
    return _entries(named, faults)


def _entries(named: Iterable[tuple[str, Any, Any, str]], faults: list[Fault]) -> list[Entry]:
    """The images of a file's places, numbers, paths and first folders.

    Numbers and folders of identities correspond one to one.
    """
    entries: dict[str, Entry] = {}
    of_label: dict[int, int] = {}
    of_identity: dict[int, int] = {}
    again: list[str] = []
    for place, label, path, word in named:
        match = PATH.fullmatch(path) if isinstance(path, str) else None
        if type(label) is not int or match is None or match["word"] != word:
            message = f"is not a number and the path of an image in {word}, such as {word}/0001/"
            faults.append(Fault(place, f"{message}NAME.jpg; {AGAIN}"))
            continue
        identity = int(match["folder"])
        if of_label.setdefault(label, identity) != identity:
            message = f"gives {label} to folder {identity}, which folder {of_label[label]} has"
            faults.append(Fault(place, f"{message}; {AGAIN}"))
        elif of_identity.setdefault(identity, label) != label:
            message = f"gives folder {identity} the number {label}, but earlier "
            faults.append(Fault(place, f"{message}{of_identity[identity]}; {AGAIN}"))
        elif match["name"] in entries:
            again.append(place)
        else:
            entries[match["name"]] = Entry(place, match["name"], identity)
    if again:
        message = f"names an image again ({len(again)} in all), which the authors count again and "
        faults.append(Fault(again[0], f"{message}jreid counts once", "note"))
    return [*entries.values()]


def _read(folder: Path, file: str, kind: type, faults: list[Fault]) -> Any:
    """The content of a JSON file; empty if it cannot be used."""
    try:
        content = read_json(folder / file)
        if not isinstance(content, kind) or not content:
            raise ValueError(f"its content is not a {kind.__name__} with entries")
        return content
    except FileNotFoundError:
        faults.append(Fault(file, f"is missing; {AGAIN}", "missing"))
    except (OSError, ValueError, RecursionError) as error:
        faults.append(Fault(file, f"cannot be read ({error}); {AGAIN}"))
    return kind()


def _camera(entry: Entry, faults: list[Fault]) -> int:
    """The camera in a file's name; 0 if it has none, which is a fault."""
    word, folder, stem = entry.name.split("/")
    match = FILE.fullmatch(stem)
    number = int(match["camera"]) if match else 0
    if match is None or match["folder"] != folder or not 1 <= number <= 9:
        message = f"has a name without folder, origin and camera, such as {folder}_llcm_0001_c01_"
        faults.append(Fault(f"{entry.name}.jpg", f"{message}; {UNPACK}"))
        return 0
    if not stem.endswith(f"_{word}"):
        message = f"has a name that does not end in {word}; {UNPACK}"
        faults.append(Fault(f"{entry.name}.jpg", message))
    return number + (SYSU_CAMERA if _origin(stem) == "sysu" else 0)


def _origin(stem: str) -> str:
    return stem.split("_")[1]


def _unnamed(found: Found, named: Iterable[str]) -> list[Fault]:
    left_out = sorted({*found.images} - {*named})
    if not left_out:
        return []
    message = f"holds {counted(len(left_out), 'images')} that no list names, left out; "
    return [Fault("the folder", f"{message}{first_of(left_out)}", "warning")]


def _origins(rows: Iterable[Row]) -> list[Fault]:
    """How many identities come from which dataset."""
    people = Counter(
        origin for origin, _ in {(_origin(row.name.split("/")[2]), row.identity) for row in rows}
    )
    if not people:
        return []
    numbers = " and ".join(f"{people[one]:,} of {TITLES[one]}" for one in sorted(people))
    message = f"holds identities of other datasets, test people included: {numbers}; do not test a "
    message += "model on people that it was trained on under the name of the other dataset"
    return [Fault("the folder", message, "note")]


def _totals(rows: Iterable[Row]) -> list[Fault]:
    rows = [*rows]
    images = Counter(row.modality for row in rows)
    identities = len({row.identity for row in rows})
    if identities == IDENTITIES and all(images[one] == count for one, count in TOTALS.items()):
        return []
    there = (
        f"{images[VISIBLE]:,} visible and {images[INFRARED]:,} infrared images of {identities:,}"
    )
    message = f"holds {there} identities, not the {TOTALS[VISIBLE]:,} and {TOTALS[INFRARED]:,} of "
    return [Fault("the folder", f"{message}{IDENTITIES:,} that its paper counts", "warning")]
