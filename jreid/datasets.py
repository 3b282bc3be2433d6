"""The one list of all datasets that jreid knows by name."""

from collections.abc import Mapping
from typing import NamedTuple

# The layouts of real datasets and their names in papers; `folder` is for any other dataset.
TITLES = {"sysu_mm01": "SYSU-MM01", "regdb": "RegDB", "llcm": "LLCM", "orbench": "ORBench"}
LAYOUTS = tuple(TITLES)
# Datasets that have people of others: a model trained on the one is not tested on the other.
SHARED_PEOPLE = {"orbench": ("sysu_mm01", "llcm")}


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
    "folder": Known("a dataset of your own; --config.data.folder says where it is", "folder", 0),
    "synthetic": Known("the rendered dataset of the quickstart", "sysu_mm01", 120, scale="small"),
    "synthetic_regdb": Known("the same in RegDB's layout", "regdb", 50, scale="small"),
    "synthetic_llcm": Known("the same in LLCM's layout", "llcm", 80, scale="small"),
    "synthetic_orbench": Known("the same in ORBench's layout", "orbench", 80, scale="small"),
    "tiny": Known("a few rendered people, for tests", "sysu_mm01", 8, scale="tiny"),
    "tiny_regdb": Known("the same in RegDB's layout", "regdb", 6, scale="tiny"),
    "tiny_llcm": Known("the same in LLCM's layout", "llcm", 8, scale="tiny"),
    "tiny_orbench": Known("the same in ORBench's layout", "orbench", 8, scale="tiny"),
}
