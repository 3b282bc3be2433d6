"""The datasets that jreid knows by name: the one list of them."""

from collections.abc import Mapping
from typing import NamedTuple

# The layouts of real datasets, and what papers call these; `folder` is for any other dataset.
TITLES = {"sysu_mm01": "SYSU-MM01", "regdb": "RegDB", "llcm": "LLCM"}
LAYOUTS = tuple(TITLES)


class Known(NamedTuple):
    """A dataset that a config's argument may name.

    Attributes:
        about: what it is, in a line.
        layout: how its folder is laid out.
        identities: of its training splits; 0 where jreid has to count them.
        train_splits: of the Table.
        scale: `small` for the quickstart's, `tiny` for the tests', else the paper's own: `full`.
        name: what results call it, where that is another name.
    """

    about: str
    layout: str
    identities: int
    train_splits: tuple[str, ...] = ("train",)
    scale: str = "full"
    name: str = ""


# The authors' own are named as their layout: then the counts that the authors print are checked.
DATASETS: Mapping[str, Known] = {
    "sysu_mm01": Known(
        "SYSU-MM01, its training and validation identities trained together, as papers do",
        "sysu_mm01",
        395,
        ("train", "validation"),
    ),
    "sysu_mm01_validated": Known(
        "SYSU-MM01, its 99 validation identities kept to choose the best checkpoint",
        "sysu_mm01",
        296,
        name="sysu_mm01",
    ),
    "regdb": Known("RegDB; trial=1 to 10 chooses its split, each a run", "regdb", 206),
    "llcm": Known("LLCM", "llcm", 713),
    "folder": Known("a dataset of your own; --config.data.folder says where it is", "folder", 0),
    "synthetic": Known("the rendered dataset of the quickstart", "sysu_mm01", 120, scale="small"),
    "synthetic_regdb": Known("the same in RegDB's layout", "regdb", 50, scale="small"),
    "synthetic_llcm": Known("the same in LLCM's layout", "llcm", 80, scale="small"),
    "tiny": Known("a few rendered people, for tests", "sysu_mm01", 8, scale="tiny"),
    "tiny_regdb": Known("the same in RegDB's layout", "regdb", 6, scale="tiny"),
    "tiny_llcm": Known("the same in LLCM's layout", "llcm", 8, scale="tiny"),
}
