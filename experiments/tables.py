"""A paper's tables as data, and tables that show our numbers next to the paper's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments import revisions
from experiments.intervals import difference
from jreid import markdown
from jreid.datasets import TITLES
from jreid.errors import InputError
from jreid.evaluation.results.intervals import drawn, splits_of
from jreid.evaluation.results.marks import marks
from jreid.evaluation.results.measures import mean_and_deviation, percent


class Setting(NamedTuple):
    """The protocol of some of a table's columns.

    Attributes:
        title: their heading: `all search, single shot`.
        layout: of the dataset that the paper measured on: `sysu_mm01`, `regdb` or `llcm`.
        choice: fields of the protocol: `{"search": "all", "shots": 1}`.
        measures: the columns: `R1` to `R20`, `mAP`, `mINP`.
    """

    title: str
    layout: str
    choice: Mapping[str, Any]
    measures: tuple[str, ...] = ("R1", "mAP")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: its name in the paper.
        flags: the config flags of its runs; None: another paper's method, which is not run.
        printed: the paper's numbers in percent, in the order of the settings and their measures,
            `-` where it has none; settings are separated by `|`.
        rerank: the re-ranking of its numbers: `none`, `standard` or `query_only`.
        against: the name of the row that it is compared with; empty for the first row that is run.
    """

    name: str
    flags: tuple[str, ...] | None = ()
    printed: str = ""
    rerank: str = "none"
    against: str = ""


class Table(NamedTuple):
    """A table, or a figure's points, of a paper."""

    title: str
    settings: tuple[Setting, ...]
    rows: tuple[Row, ...]


SYSU_ALL = Setting("all search, single shot", "sysu_mm01", {"search": "all", "shots": 1})
SYSU_INDOOR = Setting("indoor search, single shot", "sysu_mm01", {"search": "indoor", "shots": 1})
SYSU_ALL_TEN = Setting("all search, ten shots", "sysu_mm01", {"search": "all", "shots": 10})
SYSU_INDOOR_TEN = Setting(
    "indoor search, ten shots", "sysu_mm01", {"search": "indoor", "shots": 10}
)
REGDB_FROM_VISIBLE = Setting("visible to infrared", "regdb", {"direction": "visible_to_infrared"})
REGDB_FROM_INFRARED = Setting("infrared to visible", "regdb", {"direction": "infrared_to_visible"})
LLCM_FROM_VISIBLE = Setting("visible to infrared", "llcm", {"direction": "visible_to_infrared"})
LLCM_FROM_INFRARED = Setting("infrared to visible", "llcm", {"direction": "infrared_to_visible"})
FOUR = ("R1", "R10", "R20", "mAP")
COMPARED = ("R1", "mAP")  # measures with a column for the difference to another row


def differences_to(base: str, seeds: Sequence[int], rows: Iterable[Mapping[str, Any]]) -> str:
    """What a table says of its differences: of one seed they hold for these models alone.

    Args:
        rows: those of the results that are compared.
    """
    over = drawn(len(seeds), max(map(splits_of, rows)))
    other = "" if len(seeds) > 1 else ", which do not say how other seeds would differ,"
    return f"differences with 95 % intervals (bootstrap over {over}){other} to {base}"


def others(text: str) -> tuple[Row, ...]:
    """Rows of other papers' methods from lines `name: percentages`."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return tuple(Row(name.strip(), None, printed.strip()) for name, printed in lines)


def measured_by(table: Table, layout: str) -> tuple[Setting, ...]:
    """The settings of a table that belong to a dataset of this layout.

    Raises:
        InputError: there are none.
    """
    here = tuple(setting for setting in table.settings if setting.layout == layout)
    if not here:
        asked = " and ".join(dict.fromkeys(setting.layout for setting in table.settings))
        raise InputError(
            f"{table.title} is measured on a dataset of the layout {asked}, not {layout}; choose "
            "another --data."
        )
    return here


def find(result: Mapping[str, Any], setting: Setting, rerank: str) -> Mapping[str, Any]:
    """The row of a run's result with this setting and re-ranking, of the last checkpoint.

    Raises:
        InputError: there is no such row.
    """
    for row in result["rows"]:
        choice = {name: row["protocol"].get(name) for name in setting.choice}
        kind = row["rerank"].partition("(")[0]
        if (row.get("checkpoint"), kind, choice) == ("last", rerank, setting.choice):
            return row
    raise InputError(
        f"A run was not evaluated by {setting.title}, re-ranking {rerank}; add these to "
        "config.protocols and config.evaluation.rerank, and choose another --output."
    )


def format_table(
    table: Table,
    data: str,
    layout: str,
    results: Mapping[Row, Sequence[Mapping[str, Any]]],
    seeds: Sequence[int],
) -> str:
    """The table in Markdown: our mean and deviation over the seeds, and the paper's numbers.

    Each row is compared with another one, and its accuracy on the training images is stated.

    Args:
        data: the dataset's name, for the heads of our columns.
        results: for each row that was run, the result of each seed.
    """
    parts = [f"### {table.title}"]
    for setting in measured_by(table, layout):
        ours, paper = f"ours, {data}", f"paper, {TITLES[layout]}"
        heads = [""]
        for measure in setting.measures:
            compared = ["difference"] if measure in COMPARED else []
            heads += [f"{measure} {ours}", *compared, f"{measure} {paper}"]
        rows = [_cells(row, setting, table, results) for row in table.rows]
        parts.append(f"{setting.title}; {_caption(setting, results, seeds)}")
        parts.append(markdown.table([*heads, "training accuracy"], rows))
    return "\n\n".join(parts) + "\n"


def _caption(
    setting: Setting, results: Mapping[Row, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> str:
    """The split, the seeds, the protocols' fingerprints and the marks of our numbers."""
    named = [
        (row.name, find(result, setting, row.rerank))
        for row, of_seeds in results.items()
        for result in of_seeds
    ]
    found = [row for _, row in named]
    marked = [f"{name}: {', '.join(marks(row))}" for name, row in named if marks(row)]
    kinds = ", ".join(f"`{one}`" for one in dict.fromkeys(row["fingerprint"] for row in found))
    number = f"mean ± sample deviation over {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    differences = differences_to("the first row of the same re-ranking", seeds, found)
    message = (
        f"test split, last checkpoint, {number}; {differences}, unless another is named; "
        f"protocol {kinds}"
    )
    by = revisions.describe({row.name: of_seeds for row, of_seeds in results.items()})
    return "; ".join(filter(None, [message, some_splits(found), *dict.fromkeys(marked), by]))


def some_splits(rows: Iterable[Mapping[str, Any]]) -> str:
    """`split 1 of 10`, if the numbers are not of all of a dataset's splits; else empty."""
    found = set()
    for row in rows:
        trial, number = row["protocol"].get("trial") or [], row.get("of_trials", 1)
        trials = trial if isinstance(trial, list) else [trial]
        if 0 < len(trials) < number:
            some = ", ".join(map(str, trials))
            found.add(f"{'splits' if len(trials) > 1 else 'split'} {some} of {number}")
    return " and ".join(sorted(found))


def _cells(
    row: Row,
    setting: Setting,
    table: Table,
    results: Mapping[Row, Sequence[Mapping[str, Any]]],
) -> list[str]:
    printed, base = _printed(row, setting, table), _compared_with(row, table)
    cells = [row.name]
    ours, theirs = (
        [find(result, setting, one.rerank) for result in results.get(one, ())]
        for one in (row, base)
    )
    compared = ours and theirs and base.flags != row.flags
    named = f" to {row.against}" if row.against else ""
    for measure in setting.measures:
        cells.append(mean_and_deviation([percent(one, measure) for one in ours]))
        if measure in COMPARED:
            cells.append(difference(ours, theirs, measure) + named if compared else "")
        cells.append(next(printed, ""))
    return [*cells, mean_training_accuracy(results.get(row, ()))]


def _compared_with(row: Row, table: Table) -> Row:
    """The row of the same re-ranking that `against` names, or else the first that is run."""
    rows = [one for one in table.rows if one.flags is not None and one.rerank == row.rerank]
    return next((one for one in rows if row.against in ("", one.name)), row)


def mean_training_accuracy(results: Sequence[Mapping[str, Any]]) -> str:
    """Mean and deviation over the runs, in percent; empty if a run does not have it."""
    return mean_and_deviation([result.get("training_accuracy") for result in results])


def _printed(row: Row, setting: Setting, table: Table) -> Iterator[str]:
    blocks = row.printed.split("|") if row.printed else []
    place = table.settings.index(setting)
    return iter(blocks[place].split() if place < len(blocks) else [])
