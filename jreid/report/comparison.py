"""The report of several runs side by side: means over seeds, and the fields that differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jreid import config as configs
from jreid.errors import InputError
from jreid.evaluation import compare
from jreid.evaluation.results.compare import extraction_differences
from jreid.evaluation.results.intervals import compare_intervals, lines, mean_of_runs
from jreid.evaluation.results.marks import marks, without_repeated
from jreid.evaluation.results.measures import (
    as_text,
    cmc_curve,
    mean_and_deviation,
    metrics_of,
    percent,
    title,
)
from jreid.files import write_text
from jreid.methods import Config
from jreid.report.charts import Chart, Line, line_chart
from jreid.report.page import render
from jreid.report.training_curves import read_metrics
from jreid.report.words import protocol_in_words
from jreid.runs.run import Run

MOST_LINES = 10  # in a chart


class Side(NamedTuple):
    """One of the runs.

    Attributes:
        name: its folder as the user gave it.
        config: its config.
        result: the content of its `result.json`.
        metrics: its training's.
    """

    name: str
    config: Config
    result: Mapping[str, Any]
    metrics: Mapping[str, Line]

    def row(self, kind: str, fingerprint: str) -> Mapping[str, Any] | None:
        """The row of a kind of checkpoint and a fingerprint."""
        rows = self.result["rows"]
        both = (row for row in rows if row["fingerprint"] == fingerprint)
        return next((row for row in both if row.get("checkpoint", "last") == kind), None)


def write_comparison(output: Path, runs: Sequence[Run]) -> None:
    """Writes the page.

    Raises:
        InputError: a folder is not a run or has no result, a run is given twice, two results cannot
            be compared, or the file cannot be written.
    """
    write_text(output, comparison_page([*map(_side, runs)]))


def _side(run: Run) -> Side:
    if not run.config_file.is_file():
        raise InputError(
            f"{run.workdir} holds no run (no config.json); give the folders of runs that `jreid "
            "train` made, such as its subfolders seed_0 and seed_1."
        )
    config, result = configs.read(run.config_file), run.read_result()
    return Side(str(run.workdir), config, result, read_metrics(run.metrics / "metrics.jsonl"))


def comparison_page(sides: Sequence[Side]) -> str:
    """The page as HTML.

    Raises:
        InputError: a run is given twice, or two results cannot be compared.
    """
    for number, side in enumerate(sides):
        if side.name in [other.name for other in sides[:number]]:
            raise InputError(f"{side.name} is given twice; give each run once.")
    first, *others = sides
    notes = []
    for other in others:
        both = first.name, other.name
        try:
            compare(first.result, other.result)
        except InputError as error:
            raise InputError(f"{' and '.join(both)}: {error}") from error
        differing = extraction_differences(first.result, other.result, both)
        notes += [f"{' and '.join(both)}: {sentence}" for sentence in differing]
    groups = grouped(sides)
    every = dict.fromkeys(key for side in sides for key in _keys(side))
    shared = [key for key in every if all(side.row(*key) for side in sides)]
    if not shared:
        raise InputError(
            "No result is in all of these runs; evaluate them by the same protocols, on the same "
            "images."
        )
    if len(sides) > MOST_LINES:
        notes.append(f"The charts show the first {MOST_LINES} of the {len(sides)} runs.")
    return render(
        "comparison.html",
        sides=sides,
        groups=groups,
        tables=[_table(key, groups) for key in shared],
        left_out=len(every) - len(shared),
        fields=differing_fields(sides),
        notes=notes,
        intervals=_intervals(groups),
        charts=_charts(sides, shared[0]),
    )


def _keys(side: Side) -> list[tuple[str, str]]:
    rows = without_repeated(side.result["rows"])
    return [(row.get("checkpoint", "last"), row["fingerprint"]) for row in rows]


def grouped(sides: Sequence[Side]) -> list[list[Side]]:
    """The runs in groups whose configs differ by their seeds alone, in their order.

    Runs of one seed are not averaged: the second one begins a new group. Results whose features
    were extracted in different ways are not averaged either.
    """
    groups: list[list[Side]] = []
    for side in sides:
        for group in groups:
            first = group[0]
            differing = [one.field for one in configs.differences(side.config, first.config)]
            is_new = side.config.seed not in [other.config.seed for other in group]
            names = side.name, first.name
            alike = not extraction_differences(side.result, first.result, names)
            if differing == ["seed"] and is_new and alike:
                group.append(side)
                break
        else:
            groups.append([side])
    return groups


def differing_fields(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """The config fields, except the paths of data, whose values are not the same in all runs."""
    fields = [configs.flat(side.config.to_dict()) for side in sides]
    first = sides[0].config
    names = {one.field for side in sides for one in configs.differences(side.config, first)}
    return {name: [values.get(name, "-") for values in fields] for name in sorted(names)}


def _table(key: tuple[str, str], groups: Sequence[Sequence[Side]]) -> dict[str, Any]:
    """The rows of one experiment: those of the runs, and each group's mean and deviation."""
    rows, first = [], groups[0][0].row(*key)
    assert first is not None  # the key is shared
    metrics = metrics_of(first)
    for group in groups:
        found = [(side, row) for side in group if (row := side.row(*key))]
        for side, row in found:
            cells = [as_text(row, name, spread=False) for name in metrics]
            rows.append(
                (f"{side.name}", f"{side.config.seed}", cells, ", ".join(marks(row)), False)
            )
        if len(group) > 1:
            cells = [
                mean_and_deviation([percent(row, name) for _, row in found]) for name in metrics
            ]
            rows.append(("mean of these", f"{len(group)} seeds", cells, "", True))
    kind = f"{key[0]} checkpoint"
    rerank = "" if first["rerank"] == "none" else f", re-ranked: {first['rerank']}"
    return {
        "title": f"{first['label']}{rerank}, {kind}",
        "words": protocol_in_words(first),
        "fingerprint": key[1],
        "header": ["rank-1" if name == "R1" else title(name) for name in metrics],
        "rows": rows,
    }


def _intervals(groups: Sequence[Sequence[Side]]) -> list[str]:
    """Whether the difference of two groups may be chance, in sentences."""
    if len(groups) != 2:
        return []
    names = [", ".join(side.name for side in group) for group in groups]
    try:
        first, second = map(_mean_result, groups)
        return [*lines(compare_intervals(first, second, names))]
    except InputError as error:
        return [f"{error}"]


def _mean_result(group: Sequence[Side]) -> Mapping[str, Any]:
    results, names = [side.result for side in group], [side.name for side in group]
    return mean_of_runs(results, names) if len(group) > 1 else results[0]


def _charts(sides: Sequence[Side], key: tuple[str, str]) -> list[Chart]:
    """CMC of one experiment, and the trainings: a line for each of the first runs."""
    shown = sides[:MOST_LINES]
    rows = {side.name: row for side in shown if (row := side.row(*key))}
    curves = {name: cmc_curve(row) for name, row in rows.items()}
    charts = [line_chart("CMC", "rank", "queries (%)", curves)]
    players = dict.fromkeys(name for side in shown for name in side.metrics if _is_loss(name))
    for heading, metric, factor, label in (
        ("Validation rank-1", "validation/rank1", 100, "rank-1 (%)"),
        *((f"Loss of {name.removesuffix('/loss')}", name, 1, "loss") for name in players),
    ):
        found = {side.name: side.metrics[metric] for side in shown if metric in side.metrics}
        if found:
            scaled = {name: (x, [factor * value for value in y]) for name, (x, y) in found.items()}
            charts.append(line_chart(heading, "step", label, scaled))
    return charts


def _is_loss(metric: str) -> bool:
    """Whether a metric is the whole loss of a player, such as `model/loss`."""
    return metric.endswith("/loss")
