"""The images of a folder without a layout, for `jreid embed --images` and `jreid search`."""

from pathlib import Path
from typing import NamedTuple

from jreid.data.layouts.find_images import SUFFIXES, find_images
from jreid.data.layouts.layout import Fault, raise_faults
from jreid.errors import InputError


class Folder(NamedTuple):
    """The images of a folder without a layout, sorted by name.

    Attributes:
        names: relative paths without suffix, as in `Found`.
        paths: their paths.
        notes: the files that were left out.
    """

    names: list[str]
    paths: list[Path]
    notes: list[Fault]


def read_folder(folder: Path) -> Folder:
    """All images of a folder and its subfolders; links to folders are not followed.

    Raises:
        InputError: the folder is missing, cannot be read completely, or has no JPEG, PNG or BMP
            file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder of the images.")
    found = find_images(folder, None, keep_suffixes=True)
    notes = [fault for fault in found.faults if fault.harmless]
    raise_faults((fault for fault in found.faults if not fault.harmless), folder)
    if not found.images:
        left_out = "; ".join(str(note) for note in notes)
        raise InputError(
            f"{folder} holds no {', '.join(SUFFIXES)} file{left_out and f' ({left_out})'}; give a "
            "folder with images."
        )
    return Folder([*found.images], [folder / place for place in found.images.values()], notes)
