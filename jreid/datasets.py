"""All datasets that jreid knows by name, and the modalities and splits of their images."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jreid.errors import InputError

VISIBLE, INFRARED = MODALITIES = ("visible", "infrared")
SPLITS = ("train", "validation", "test")
# The layouts of real datasets and their names in papers; `folder` is for any other dataset.
TITLES = {
    "sysu_mm01": "SYSU-MM01",
    "regdb": "RegDB",
    "llcm": "LLCM",
    "orbench": "ORBench",
    "mp_reid": "MP-ReID",
}
LAYOUTS = tuple(TITLES)
# Datasets that have people of others: a model trained on the one is not tested on the other.
SHARED_PEOPLE = {"orbench": ("sysu_mm01", "llcm")}


class Setting(NamedTuple):
    """Which of a folder's lists of identities to use; a model belongs to one of them.

    Attributes:
        field: of `config.data`, and the parameter of the dataset's protocol: `split_number`.
        choices: the values; the first is the default.
        option: its name in a config's argument, as in `regdb,trial=3`.
        refused: values that the folder has but jreid does not offer, and the reason.
    """

    field: str
    choices: Sequence[int] | Sequence[str]
    option: str
    refused: Mapping[str, str] = {}

    def fault(self, value: object) -> str:
        """Why a value cannot be used, and what can; empty for one of the choices."""
        if value in self.choices:
            return ""
        first, *_, last = self.choices
        several = isinstance(self.choices, range)
        choices = f"{first} to {last}" if several else f"one of {', '.join(map(str, self.choices))}"
        why = self.refused.get(value) if isinstance(value, str) else None
        return f"{why}; it must be {choices}" if why else f"it must be {choices}"

    def read(self, text: str) -> int | str:
        """The value of a text.

        Raises:
            InputError: it is not one of the choices.
        """
        number = isinstance(self.choices, range) and re.fullmatch("[0-9]{1,9}", text)
        value = int(text) if number else text
        fault = self.fault(value)
        if fault:
            raise InputError(f"{self.option}={text} cannot be used: {fault}.")
        return value


# MP-ReID's cameras by platform and modality; `ir` of the drone is a thermal camera.
MP_REID_CAMERAS = {
    "cctv_rgb": (1, 2, 3, 4, 5, 6),
    "cctv_ir": (7, 8, 9, 10, 11, 12),
    "uav_rgb": (13,),
    "uav_ir": (14,),
}
_ONE_MODALITY = "it compares images of one modality, and jreid compares visible with infrared"
# By layout. MP-ReID's experiments name the cameras of the queries, then those of the gallery. The
# last two are one experiment: we do not know in which order its authors name it.
SETTINGS: Mapping[str, Setting] = {
    "regdb": Setting("split_number", range(1, 11), "trial"),
    "mp_reid": Setting(
        "experiment",
        (
            "cctv_ir_cctv_rgb",
            "uav_ir_uav_rgb",
            "uav_ir_cctv_rgb",
            "cctv_ir_uav_rgb",
            "uav_rgb_cctv_ir",
        ),
        "experiment",
        dict.fromkeys(("cctv_ir_uav_ir", "cctv_rgb_uav_rgb"), _ONE_MODALITY),
    ),
}


def mp_reid_cameras(experiment: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The cameras of the queries and of the gallery in an experiment of MP-ReID.

    >>> mp_reid_cameras("uav_ir_cctv_rgb")
    ((14,), (1, 2, 3, 4, 5, 6))
    """
    words = experiment.split("_")
    return MP_REID_CAMERAS["_".join(words[:2])], MP_REID_CAMERAS["_".join(words[2:])]


class Known(NamedTuple):
    """A dataset that a config's argument may name.

    Attributes:
        about: a description of one line.
        layout: the layout of its folder.
        identities: the number in its training splits; 0 if jreid has to count them.
        train_splits: of the Table.
        scale: `small` for the quickstart, `tiny` for tests, else the paper's own: `full`.
        name: its name in results, if that is another one.
    """

    about: str
    layout: str
    identities: int
    train_splits: tuple[str, ...] = ("train",)
    scale: str = "full"
    name: str = ""


# A dataset with the name of its layout is the authors' own: its image counts are checked.
DATASETS: Mapping[str, Known] = {
    "sysu_mm01": Known(
        "SYSU-MM01, its training and validation identities trained together, as papers do",
        "sysu_mm01",
        395,
        ("train", "validation"),
    ),
    "sysu_mm01_validated": Known(
        "SYSU-MM01, its 99 validation identities held out to choose the best checkpoint",
        "sysu_mm01",
        296,
        name="sysu_mm01",
    ),
    "regdb": Known("RegDB; trial=1 to 10 chooses the split, one run for each", "regdb", 206),
    "llcm": Known("LLCM", "llcm", 713),
    "orbench": Known(
        "ORBench's visible and near-infrared images, which are LLCM's and SYSU-MM01's",
        "orbench",
        0,
    ),
    "mp_reid": Known(
        "MP-ReID, its training and validation identities trained together, as its authors do; "
        "experiment=cctv_ir_cctv_rgb, uav_ir_uav_rgb, ... chooses the cameras and lists",
        "mp_reid",
        0,
        ("train", "validation"),
    ),
    "mp_reid_validated": Known(
        "MP-ReID, the validation identities held out to choose the best checkpoint",
        "mp_reid",
        0,
        name="mp_reid",
    ),
    "folder": Known("a dataset of your own; --config.data.folder says where it is", "folder", 0),
    "synthetic": Known("the rendered dataset of the quickstart", "sysu_mm01", 120, scale="small"),
    "synthetic_regdb": Known("the same in RegDB's layout", "regdb", 50, scale="small"),
    "synthetic_llcm": Known("the same in LLCM's layout", "llcm", 80, scale="small"),
    "synthetic_orbench": Known("the same in ORBench's layout", "orbench", 80, scale="small"),
    "synthetic_mp_reid": Known("the same in MP-ReID's layout", "mp_reid", 80, scale="small"),
    "tiny": Known("a few rendered people, for tests", "sysu_mm01", 8, scale="tiny"),
    "tiny_regdb": Known("the same in RegDB's layout", "regdb", 6, scale="tiny"),
    "tiny_llcm": Known("the same in LLCM's layout", "llcm", 8, scale="tiny"),
    "tiny_orbench": Known("the same in ORBench's layout", "orbench", 8, scale="tiny"),
    "tiny_mp_reid": Known("the same in MP-ReID's layout", "mp_reid", 8, scale="tiny"),
}
