"""Means over seeds, and differences with their intervals."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.evaluation.results.bootstrap import difference_interval
from jreid.evaluation.results.identity_scores import unpack

Rows = Sequence[Mapping[str, Any]]  # of results, one for each run


def per_cent(row: Mapping[str, Any], measure: str) -> float:
    """`R1` to `R20`, `mAP` or `mINP` of a result row."""
    return 100 * (row["cmc"][measure[1:]] if measure.startswith("R") else row[measure])


def mean_and_deviation(values: Sequence[float]) -> str:
    """Both with two digits; empty without values. A single value has no deviation.

    This deviation divides by one less than the number of values; `std` in results divides by their
    number.
    """
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def difference(ours: Rows, base: Rows, measure: str) -> str:
    """`+3.10 [-1.20, +7.40]`: ours less the base, in points, and its 95 % interval.

    The interval is the paired bootstrap's over people, trials and runs. There is none if a row of
    an earlier jreid lacks its scores.
    """
    if not all(row.get("scores") for row in (*ours, *base)):
        means = (statistics.mean(per_cent(row, measure) for row in rows) for rows in (ours, base))
        return f"{next(means) - next(means):+.2f}"
    sides = ([unpack(one) for row in rows for one in row["scores"]] for rows in (base, ours))
    splits = isinstance(base[0]["protocol"].get("trial"), list)
    found = difference_interval(*sides, splits=splits)[measure]
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
