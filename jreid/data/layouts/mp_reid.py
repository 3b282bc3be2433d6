"""MP-ReID's folder as its authors describe it, listed and checked.

Source of the layout: the code of MP-ReID (ICCV 2025, arXiv 2503.17096). We have not seen the
dataset itself. Where its description and public programs differ, jreid reads both:

* The folder of camera 1 is `1` or `01`; names in the Table always have two digits.
* The lists of an experiment are in `split/exp_NAME` or in `exp_NAME`.

The camera is the whole number of the folder. Public programs take its last digit, which makes
cameras 1 and 11 one. Each experiment has lists of its own, and only the cameras of its two sides
take part.
"""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

from jreid.data.layouts.find_images import Found, find_images
from jreid.data.layouts.layout import Count, Fault, Group, Listing, Row, first_of
from jreid.data.layouts.list_files import UNPACK, merge_splits, read_identities
from jreid.data.layouts.synthetic_label import LABEL_FILE
from jreid.datasets import INFRARED, MP_REID_CAMERAS, SETTINGS, VISIBLE, mp_reid_cameras
from jreid.errors import InputError, counted

SETTING = SETTINGS["mp_reid"]
COUNTS: Mapping[Group, Count] = {}
APPLY = "MP-ReID is sent by its authors against a signed agreement."

PLACES = re.compile("(?:0?[1-9]|1[0-4])(?:/(?P<identity>[0-9]{4}))?")
LISTS = {"train": "train_id.txt", "validation": "val_id.txt", "test": "test_id.txt"}
MODALITY = {
    camera: INFRARED if side.endswith("_ir") else VISIBLE
    for side, cameras in MP_REID_CAMERAS.items()
    for camera in cameras
}
# Of its README, for all experiments together; another number is only a warning.
IDENTITIES, IMAGES = 1_930, 136_156


def list_images(folder: Path, experiment: str | int = 0) -> Listing:
    """Every image of an experiment's cameras and identities, and everything that is wrong.

    Args:
        experiment: such as `cctv_ir_cctv_rgb`; 0 for the first one whose lists are there.

    Raises:
        InputError: jreid does not offer this experiment.
    """
    if experiment and SETTING.fault(experiment):
        name = f"MP-ReID's experiment {experiment}"
        raise InputError(f"{name} cannot be used: {SETTING.fault(experiment)}.")
    found = find_images(folder, PLACES)
    faults = [*found.faults, *_twice(found)]
    there = _experiments(found)
    if experiment == 0:
        experiment = next((one for one in SETTING.choices if one in there), SETTING.choices[0])
        faults += _others(str(experiment), there)
    experiment = str(experiment)
    home = _home(experiment, there, faults)
    files = LISTS.items() if home else ()
    listed = {split: read_identities(folder, f"{home}/{file}", faults) for split, file in files}
    people = merge_splits(listed, faults)
    faults += [*_absent(people, found), *_missing_cameras(experiment, found)]
    rows = []
    for path, file in found.images.items():
        number, person, stem = path.split("/")
        camera, identity = int(number), int(person)
        if camera in itertools.chain(*mp_reid_cameras(experiment)) and identity in people:
            name, split = f"{camera:02d}/{person}/{stem}", people[identity][0]
            rows.append(Row(name, identity, camera, MODALITY[camera], split, folder / file))
    if not (folder / LABEL_FILE).is_file():
        faults += _totals(found)
    return Listing(_in_pairs(sorted(rows), faults), faults, {})


def _experiments(found: Found) -> dict[str, list[str]]:
    """The experiments with a folder of lists, and their folders."""
    there: dict[str, list[str]] = {}
    for place in sorted(found.folders):
        match = re.fullmatch("(?:split/)?exp_([a-z_]+)", place)
        if match:
            there.setdefault(match[1], []).append(place)
    return there


def _others(chosen: str, there: Mapping[str, list[str]]) -> list[Fault]:
    """A warning if the folder also has the lists of other experiments."""
    others = [
        f"{one} ({SETTING.refused.get(one, 'not offered')})" if SETTING.fault(one) else one
        for one in there
        if one != chosen
    ]
    if not others:
        return []
    message = f"has other experiments than {chosen}, whose images these are: {', '.join(others)}; "
    message += "choose one as in mp_reid,experiment=uav_ir_uav_rgb"
    return [Fault("the folder", message, "warning")]


def _home(experiment: str, there: Mapping[str, list[str]], faults: list[Fault]) -> str:
    """The folder with an experiment's lists; empty, and a fault, unless there is one."""
    homes = there.get(experiment, [])
    if len(homes) == 1:
        return homes[0]
    if homes:
        faults.append(Fault(homes[0], f"is there again as {homes[1]}; remove one of the two"))
        return ""
    others = [one for one in there if not SETTING.fault(one)]
    have = f"the folder has {', '.join(others)}" if others else UNPACK
    faults.append(Fault(f"split/exp_{experiment}", f"is missing; {have}"))
    return ""


def _twice(found: Found) -> list[Fault]:
    """The faults of cameras with two folders, such as `1` and `01`."""
    return [
        Fault(place, f"and 0{place} are the same camera; remove one of the two")
        for place in map(str, range(1, 10))
        if {place, f"0{place}"} <= found.folders
    ]


def _absent(people: Mapping[int, tuple[str, str]], found: Found) -> list[Fault]:
    """The faults of listed identities without an image in any camera."""
    there = {int(name.split("/")[1]) for name in found.images}
    gone = {identity: place for identity, (_, place) in people.items() if identity not in there}
    return [
        Fault(place, f"names identity {one}, who has no image in the folder; {UNPACK}", "missing")
        for one, place in gone.items()
    ]


def _missing_cameras(experiment: str, found: Found) -> list[Fault]:
    """A fault for a side without a camera, and a warning for other missing cameras."""
    there = {int(place) for place in found.folders if place.isdecimal()}
    faults = []
    for side in mp_reid_cameras(experiment):
        gone = [f"{camera:02d}" for camera in side if camera not in there]
        if gone:
            kind = "missing" if len(gone) == len(side) else "warning"
            message = f"of the experiment {experiment} is missing ({len(gone)} of {len(side)} on "
            message += f"this side, {first_of(gone)}); {UNPACK}"
            faults.append(Fault(f"camera {gone[0]}", message, kind))
    return faults


def _in_pairs(rows: list[Row], faults: list[Fault]) -> list[Row]:
    """The rows, without training identities that only one side of the experiment sees."""
    sides: dict[int, set[str]] = {}
    for row in rows:
        sides.setdefault(row.identity, set()).add(row.modality)
    alone = {row.identity for row in rows if row.split != "test" and len(sides[row.identity]) == 1}
    if alone:
        message = f"has {counted(len(alone), 'identities')} to train on that only one side of the "
        message += f"experiment sees, left out; {first_of([f'{one:04d}' for one in sorted(alone)])}"
        faults.append(Fault("the folder", message, "warning"))
    return [row for row in rows if row.identity not in alone]


def _totals(found: Found) -> list[Fault]:
    """A warning if the folder has other numbers than its authors count."""
    images, people = len(found.images), len({name.split("/")[1] for name in found.images})
    if (people, images) == (IDENTITIES, IMAGES):
        return []
    message = f"holds {images:,} images of {people:,} identities in all cameras, not the "
    message += f"{IMAGES:,} of {IDENTITIES:,} that its authors count; how many belong to an "
    return [Fault("the folder", f"{message}experiment is not published", "warning")]
