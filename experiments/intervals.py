"""Differences between rows of results, with their intervals."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.evaluation.results.bootstrap import difference_interval, has_one_person
from jreid.evaluation.results.identity_scores import unpack
from jreid.evaluation.results.intervals import splits_of
from jreid.evaluation.results.measures import percent

Rows = Sequence[Mapping[str, Any]]  # of results, one for each run


def difference(ours: Rows, base: Rows, measure: str) -> str:
    """`+3.10 [-1.20, +7.40]`: ours less the base, in points, and its 95 % interval.

    The interval is the paired bootstrap's over people, trials, splits and runs. There is none if a
    row of an earlier jreid lacks its scores, or the test has one person. Empty if a row lacks the
    measure, or if the rows are not of one protocol: then the difference means nothing.
    """
    sides = base, ours
    values = [[percent(row, measure) for row in rows] for rows in sides]
    protocols = {row.get("fingerprint") for rows in sides for row in rows}
    if any(None in some for some in values) or len(protocols) > 1:
        return ""
    before, after = (statistics.mean(value or 0.0 for value in some) for some in values)
    plain = f"{after - before:+.2f}"
    if not all(row.get("scores") for rows in sides for row in rows):
        return plain
    first, second = ([unpack(one) for row in rows for one in row["scores"]] for rows in sides)
    if has_one_person(first):
        return plain
    found = difference_interval(first, second, splits_of(base[0]))[measure]
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
