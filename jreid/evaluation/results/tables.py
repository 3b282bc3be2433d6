"""Result rows as tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.box
import rich.table

from jreid.evaluation.results.compare import METRICS
from jreid.evaluation.results.marks import marks

RANKS = (1, 5, 10, 20)  # that tables show


def format_comparison(
    rows: Iterable[Mapping[str, Any]], names: Sequence[str] = ("first", "second")
) -> rich.table.Table:
    """The rows for the terminal: for each metric both numbers in percent, and the difference.

    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", "protocol": {}}
    >>> row |= {"cmc": {"1": 0.5}, "mAP": 0.25, "mINP": 0.25}
    >>> table = format_comparison(compare({"rows": [row]}, {"rows": [row]}))
    >>> table.row_count, [column.header for column in table.columns][3:6]
    (1, ['R1 first', 'R1 second', 'difference'])
    """
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("checkpoint", "protocol", "rerank"):
        table.add_column(name, no_wrap=True)
    for metric in METRICS:
        for name in (*(f"{metric} {name}" for name in names), "difference"):
            table.add_column(name, no_wrap=True, justify="right")
    table.add_column("fingerprint", no_wrap=True)
    rows = list(rows)
    marked = any(row["marks"] for row in rows)
    if marked:
        table.add_column("marks")
    for row in rows:
        cells = [
            format(row[side][metric], form) if row[side] else "-"
            for metric in METRICS
            for side, form in (("first", ".2f"), ("second", ".2f"), ("difference", "+.2f"))
        ]
        labels = row["checkpoint"], row["label"], row["rerank"]
        last = [", ".join(row["marks"])] if marked else []
        table.add_row(*labels, *cells, row["fingerprint"], *last)
    return table


def format_table(rows: Iterable[Mapping[str, Any]]) -> rich.table.Table:
    """The rows for the terminal, in percent, R1 and mAP with their standard deviation.

    The deviation is over the trials of a run, or over several runs. The last column has the marks,
    if there are any.

    >>> metrics = {"cmc": {"1": 0.5, "5": 0.5, "10": 1.0, "20": 1.0}, "mAP": 0.25, "mINP": 0.25}
    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", **metrics}
    >>> row |= {"std": metrics, "trials": 1, "of_trials": 1, "queries": 9, "valid_queries": 8}
    >>> [*format_table([row]).columns[2].cells]
    ['50.00']
    """
    rows = list(rows)
    of_runs, marked = any("checkpoint" in row for row in rows), any(map(marks, rows))
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = ["protocol", "rerank", *(f"R{rank}" for rank in RANKS), "mAP", "mINP", "trials"]
    names = [*(["checkpoint", "step"] if of_runs else []), *names, "queries", "fingerprint"]
    for name in [*names, *(["marks"] if marked else [])]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        run = [row.get("checkpoint", ""), str(row.get("step", ""))] if of_runs else []
        table.add_row(*run, *_cells(row), *([", ".join(marks(row))] if marked else []))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    trials, of_trials, std = row["trials"], row["of_trials"], row["std"]
    of_several = max(trials, row.get("of_seeds", 1)) > 1
    first, *further = (str(rank) for rank in RANKS)

    def with_deviation(value: float, deviation: float) -> str:
        return f"{100 * value:.2f}" + (f"±{100 * deviation:.2f}" if of_several else "")

    return [
        row["label"],
        row["rerank"],
        with_deviation(row["cmc"][first], std["cmc"][first]),
        *(f"{100 * row['cmc'][rank]:.1f}" for rank in further),
        with_deviation(row["mAP"], std["mAP"]),
        f"{100 * row['mINP']:.2f}",
        str(trials) if trials == of_trials else f"{trials} of {of_trials}",
        f"{row['valid_queries']}/{row['queries']}",
        row["fingerprint"],
    ]
