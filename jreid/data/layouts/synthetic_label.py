"""The label of a synthetic dataset's folder, so that its numbers are never taken for real ones."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jreid.datasets import LAYOUTS, MODALITIES, SPLITS
from jreid.errors import InputError
from jreid.files import read_json

LABEL_FILE = "synthetic.json"

LABEL_FIELDS = {"layout", "preset", "seed", "version", "counts"}


def read_label(folder: Path) -> Mapping[str, Any] | None:
    """The label of a rendered folder, or None if it is not a synthetic dataset.

    Returns:
        `layout`, `preset`, `seed`, `version` of the renderer, and `counts`: rows of split,
        modality, camera, number of identities and of images; RegDB's are the same for every trial.

    Raises:
        InputError: the folder has a label, but some of this is missing.
    """
    path = Path(folder) / LABEL_FILE
    if not path.is_file():
        return None
    try:
        label = read_json(path)
        complete = (
            {*label} == LABEL_FIELDS
            and label["layout"] in LAYOUTS
            and all(map(_is_count, label["counts"]))
        )
    except (OSError, ValueError, TypeError, RecursionError):
        complete = False
    if not complete:
        raise InputError(
            f"{path} is damaged or of an older jreid: remove the folder and render it again."
        )
    return label


def synthesize_command(name: str, folder: Path, layout: str = "") -> str:
    """The command that renders a synthetic dataset; empty for any other.

    Args:
        name: of the dataset, such as `tiny_regdb`.
        folder: of the dataset.
        layout: of the folder; by default the name says it.
    """
    kind, _, suffix = name.partition("_")
    if kind not in ("synthetic", "tiny"):
        return ""
    preset = " --preset=tiny" if kind == "tiny" else ""
    layout = layout or (suffix if suffix in LAYOUTS else "sysu_mm01")
    return f"jreid data synthesize --layout={layout}{preset} --output={shlex.quote(str(folder))}"


def _is_count(row: Any) -> bool:
    """Whether it is a row of a label's counts."""
    if not isinstance(row, list) or len(row) != 5:
        return False
    split, modality, *numbers = row
    whole = all(type(number) is int and number >= 0 for number in numbers)
    return split in SPLITS and modality in MODALITIES and whole
