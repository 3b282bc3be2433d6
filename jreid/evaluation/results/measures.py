"""The measures of a result row in percent, and their deviations."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

METRICS = ("R1", "mAP", "mINP")
# What a gallery of both modalities has besides, with the title of its column.
MIXED_METRICS = {"cross_modality_mAP": "cross-modality mAP", "confusion": "confusion"}


def metrics_of(row: Mapping[str, Any]) -> list[str]:
    """The measures to show of a row: R1, mAP and mINP, and those of a mixed gallery.

    >>> metrics_of({"mixed": {"share": 0.3}})
    ['R1', 'mAP', 'mINP', 'cross_modality_mAP', 'confusion']
    """
    return [*METRICS, *(MIXED_METRICS if row.get("mixed") else ())]


def title(measure: str) -> str:
    """The head of a measure's column."""
    return MIXED_METRICS.get(measure, measure)


def labels_of_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The label of each row; with the protocol's text where other protocols have the same label.

    >>> rows = [
    ...     {"label": "all", "protocol": {"trials": n}, "protocol_text": f"mine:trials={n}"}
    ...     for n in (1, 2, 2)
    ... ]
    >>> labels_of_rows(rows)
    ['all (mine:trials=1)', 'all (mine:trials=2)', 'all (mine:trials=2)']
    >>> labels_of_rows(rows[1:])
    ['all', 'all']
    """
    protocols: dict[str, set[str]] = {}
    for row in rows:
        rule = json.dumps(row.get("protocol"), sort_keys=True)
        protocols.setdefault(row["label"], set()).add(rule)
    return [
        f"{row['label']} ({row.get('protocol_text') or row['fingerprint']})"
        if len(protocols[row["label"]]) > 1
        else row["label"]
        for row in rows
    ]


def percent(row: Mapping[str, Any], measure: str) -> float | None:
    """`R1` to `R20`, `mAP`, `mINP` or one of a mixed gallery; None if the row lacks it.

    >>> row = {"cmc": {"1": 0.5}, "mAP": 0.25}
    >>> percent(row, "R1"), percent(row, "R10"), percent(row, "confusion")
    (50.0, None, None)
    """
    return _of(row, row, measure, "mean")


def cmc_curve(row: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """The ranks of a row's CMC, ascending, and the share of queries at each in percent.

    >>> cmc_curve({"cmc": {"10": 1.0, "1": 0.5}})
    ([1, 10], [50.0, 100.0])
    """
    ranks = sorted(map(int, row["cmc"]))
    return ranks, [100 * row["cmc"][str(rank)] for rank in ranks]


def deviation(row: Mapping[str, Any], measure: str) -> float | None:
    """The deviation over trials or seeds in points; None if the row lacks it.

    >>> deviation({"std": {"cmc": {"1": 0.02}}}, "R1"), deviation({}, "R1")
    (2.0, None)
    """
    return _of(row, row.get("std", {}), measure, "std")


def as_text(row: Mapping[str, Any], measure: str, spread: bool = True) -> str:
    """`38.07 ± 4.35` in percent; without the deviation if it is 0 or not known; `-` for no value.

    >>> as_text({"mAP": 0.25, "std": {"mAP": 0.01}}, "mAP"), as_text({"mAP": 0.25}, "R1")
    ('25.00 ± 1.00', '-')
    """
    value, around = percent(row, measure), deviation(row, measure)
    if value is None:
        return "-"
    return (
        f"{value:.2f} ± {around:.2f}" if spread and around and around >= 0.005 else f"{value:.2f}"
    )


def sample_deviation(values: Sequence[float]) -> float:
    """The deviation over runs, divided by one less than their number; 0 for one run.

    Over the trials of one protocol `evaluate` divides by their number.

    >>> sample_deviation([1.0, 3.0]), sample_deviation([1.0])
    (1.4142135623730951, 0.0)
    """
    return statistics.stdev(values) if len(values) > 1 else 0.0


def mean_and_deviation(values: Sequence[float | None]) -> str:
    """The mean over runs and their sample deviation; a single run has none.

    Empty without values, or where a run lacks its own.

    >>> mean_and_deviation([5.0, 7.0]), mean_and_deviation([5.0]), mean_and_deviation([5.0, None])
    ('6.00 ± 1.41', '5.00', '')
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return ""
    spread = f" ± {sample_deviation(known):.2f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.2f}{spread}"


def _of(
    row: Mapping[str, Any], values: Mapping[str, Any], measure: str, statistic: str
) -> float | None:
    if measure in MIXED_METRICS:
        found = (row.get("mixed", {}).get(measure) or {}).get(statistic)
    elif measure.startswith("R"):
        found = values.get("cmc", {}).get(measure[1:])
    else:
        found = values.get(measure)
    return None if found is None else 100.0 * found
