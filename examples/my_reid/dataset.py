"""Your own dataset: one folder of files such as 0007_c2_infrared_001.png.

That is identity 7, seen by camera 2. Identities with an even number are for training.
"""

import re
from pathlib import Path

from jreid.data.layouts.layout import Fault, Listing, Row

NAME = re.compile(r"(\d+)_c(\d+)_(visible|infrared)_\d+")
APPLY = "Ask my lab for the images."


def list_images(folder: Path, setting: int) -> Listing:
    """Every image of the folder; files of other names are faults. `setting` is not used."""
    rows, faults = [], []
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.stem)
        if match:
            identity, camera = int(match[1]), int(match[2])
            split = "test" if identity % 2 else "train"
            rows.append(Row(path.name, identity, camera, match[3], split, path))
        else:
            faults.append(Fault(path.name, "is not named like 0007_c2_infrared_001.png"))
    return Listing(rows, faults, {})
