"""Result rows as tables for a terminal of 80 columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.box
import rich.table
from rich.console import Group, RenderableType
from rich.text import Text

from jreid.evaluation.results.marks import marks, without_repeated
from jreid.evaluation.results.measures import MIXED_METRICS, deviation, percent, title

WIDTH = 80  # columns that every table fits
SAME = 1e-9  # a smaller deviation is rounding: every trial has the same numbers
REPEATED = "The best checkpoint on the validation identities is the last one: the same rows."


def format_results(title: str, rows: Iterable[Mapping[str, Any]]) -> Group:
    """Result rows under a title: a table for each checkpoint, and notes.

    Rows of the best checkpoint are left out if it is the last one, which a note says.

    >>> metrics = {"cmc": {"1": 0.5, "10": 1.0}, "mAP": 0.25, "mINP": 0.25}
    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", **metrics}
    >>> row |= {"std": metrics, "trials": 1, "of_trials": 1, "queries": 9, "valid_queries": 8}
    >>> last, best = ({**row, "checkpoint": kind, "step": 5} for kind in ("last", "best"))
    >>> title, table, *notes = format_results("agw", [last, best]).renderables
    >>> str(title), table.row_count, str(notes[1])
    ('agw, last checkpoint (step 5)', 1, '8 of 9 queries have a match.')
    """
    rows = [*rows]
    shown = without_repeated(rows)
    kinds = dict.fromkeys(row.get("checkpoint", "") for row in shown)
    groups = {kind: [row for row in shown if row.get("checkpoint", "") == kind] for kind in kinds}
    notes = {kind: _notes(some) for kind, some in groups.items()}
    parts: list[RenderableType] = []
    for number, (kind, some) in enumerate(groups.items()):
        later = [note for other in [*groups][number + 1 :] for note in notes[other]]
        own = [note for note in notes[kind] if note not in later]
        parts += [Text(title + _checkpoint(some[0])), format_table(some), *map(Text, own)]
    if len(shown) < len(rows):
        parts.append(Text(REPEATED))
    return Group(*(parts or [Text(title)]))


def format_table(rows: Iterable[Mapping[str, Any]]) -> rich.table.Table:
    """The rows in percent, rank 1 and mAP with their deviation over trials or runs.

    There is no deviation where all of these have the same numbers.

    >>> metrics = {"cmc": {"1": 0.5, "10": 1.0}, "mAP": 0.25, "mINP": 0.25}
    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", **metrics}
    >>> row |= {"std": metrics, "trials": 1, "of_trials": 1, "queries": 9, "valid_queries": 8}
    >>> [*format_table([row]).columns[2].cells]
    ['50.00']
    """
    rows = [*rows]
    short = _short_rerankings(rows)
    table = _table("protocol", "re-ranking", "R1", "R10", "mAP", "mINP")
    table.add_column("fingerprint", no_wrap=True)
    for row in rows:
        numbers = [
            _number(row, "R1", spread=True),
            _number(row, "R10", digits=1),
            _number(row, "mAP", spread=True),
            _number(row, "mINP"),
        ]
        table.add_row(row["label"], short[row["rerank"]], *numbers, row["fingerprint"])
    return table


def format_comparison(
    rows: Iterable[Mapping[str, Any]], names: Sequence[str] = ("first", "second")
) -> Group:
    """The rows of `compare`: for each metric both numbers in percent, and the difference.

    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", "protocol": {}}
    >>> row |= {"cmc": {"1": 0.5}, "mAP": 0.25, "mINP": 0.25}
    >>> table = format_comparison(compare({"rows": [row]}, {"rows": [row]})).renderables[0]
    >>> table.row_count, [column.header for column in table.columns][2:6]
    (3, ['metric', 'first', 'second', 'difference'])
    """
    rows = [*rows]
    short = _short_rerankings(rows)
    table = _table("protocol", "re-ranking", "metric", *names, "difference")
    table.add_column("fingerprint", no_wrap=True)
    notes = _reranking_notes(rows)
    for row in rows:
        label = row["label"] + (", best" if row["checkpoint"] == "best" else "")
        heads = label, short[row["rerank"]], row["fingerprint"]
        for metric in row["first"] or row["second"]:
            cells = [
                format(values[metric], form) if metric in (values := row[side] or {}) else "-"
                for side, form in (("first", ".2f"), ("second", ".2f"), ("difference", "+.2f"))
            ]
            protocol, rerank, fingerprint = heads
            table.add_row(protocol, rerank, title(metric).replace(" ", "\n"), *cells, fingerprint)
            heads = "", "", ""
        if row["marks"]:
            notes.append(f"{label}, {short[row['rerank']]}: {', '.join(row['marks'])}")
    return Group(table, *map(Text, notes))


def _table(*columns: str) -> rich.table.Table:
    """A table whose first two columns, protocol and re-ranking, may be broken into lines."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for number, name in enumerate(columns):
        left = number < 3 or name == "mAP"  # with a deviation
        table.add_column(
            name, no_wrap=number > 1, overflow="fold", justify="left" if left else "right"
        )
    return table


def _checkpoint(row: Mapping[str, Any]) -> str:
    kind, step = row.get("checkpoint"), row.get("step")
    if kind is None:
        return ""
    return f", {kind} checkpoint" + ("" if step is None else f" (step {step})")


def _number(row: Mapping[str, Any], measure: str, digits: int = 2, spread: bool = False) -> str:
    """In percent, with the deviation if that is asked for and the row has one."""
    value, around = percent(row, measure), deviation(row, measure)
    if value is None:
        return "-"
    with_deviation = spread and around is not None and _varies(row)
    return f"{value:.{digits}f}" + (f"±{around:.{digits}f}" if with_deviation else "")


def _varies(row: Mapping[str, Any]) -> bool:
    """Whether the trials, or the runs, have different numbers."""
    std = row.get("std", {})
    found = [*std.get("cmc", {}).values(), std.get("mAP", 0), std.get("mINP", 0)]
    return _repetitions(row)[0] > 1 and max(found) > SAME


def _repetitions(row: Mapping[str, Any]) -> tuple[int, str]:
    """What the numbers are a mean over: how many, and their description."""
    if "of_seeds" in row:
        return row["of_seeds"], f"{row['of_seeds']} seeds"
    trials, of_trials = row.get("trials", 1), row.get("of_trials", 1)
    noun = "splits" if isinstance(row.get("protocol", {}).get("trial"), list) else "trials"
    return trials, f"{trials} {noun}" if trials == of_trials else f"{trials} of {of_trials} {noun}"


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the columns do not show; a note that is not about all rows names its protocols."""
    of_rows: dict[str, list[str]] = {}
    for row in rows:
        for note in _notes_of(row):
            of_rows.setdefault(note, []).append(row["label"])
    return [
        "In percent." if not any(map(_varies, rows)) else "In percent; ± is the deviation.",
        *(
            note if len(labels) == len(rows) else f"{'; '.join(dict.fromkeys(labels))}: {note}"
            for note, labels in of_rows.items()
        ),
        *_reranking_notes(rows),
    ]


def _notes_of(row: Mapping[str, Any]) -> list[str]:
    number, repetitions = _repetitions(row)
    notes = []
    if _varies(row):
        kind = "sample deviation (n - 1)" if "of_seeds" in row else "deviation"
        notes.append(f"Mean and {kind} over {repetitions}.")
    elif number > 1:
        notes.append(f"The same numbers in all {repetitions}.")
    elif number < row.get("of_trials", 1):
        notes.append(f"{repetitions}.")
    queries, valid = row.get("queries", 0), row.get("valid_queries", 0)
    if valid < queries:
        notes.append(f"{valid} of {queries} queries have a match.")
    if mixed := row.get("mixed"):
        values = [f"{title(name)} {_number(row, name)}" for name in MIXED_METRICS]
        notes.append(f"re-ranking {row['rerank'].partition('(')[0]}: {', '.join(values)}.")
        if "share" in mixed:
            share = f"{100 * mixed['share']:.1f} %"
            notes.append(f"{share} of the gallery is of the queries' modality.")
    return notes + [f"Marked: {mark}." for mark in marks(row)]


def _short_rerankings(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each re-ranking without its parameters, unless two differ in these alone."""
    texts = dict.fromkeys(row["rerank"] for row in rows)
    kinds = [text.partition("(")[0] for text in texts]
    return {
        text: kind if kinds.count(kind) == 1 else text
        for text, kind in zip(texts, kinds, strict=True)
    }


def _reranking_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parameters that `_short_rerankings` leaves out."""
    return [
        f"{kind}: {re.sub(',', ', ', text[len(kind) + 1 : -1])}"
        for text, kind in _short_rerankings(rows).items()
        if kind != text
    ]
