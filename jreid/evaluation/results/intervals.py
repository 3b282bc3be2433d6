"""The intervals of the differences between two results, by their identities' scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.results.bootstrap import METRICS, Interval, difference_interval
from jreid.evaluation.results.compare import extraction_differences, row_pairs
from jreid.evaluation.results.identity_scores import unpack
from jreid.evaluation.results.split_means import mean_over_seeds


def compare_intervals(
    first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    """For each pair of rows that `compare` puts side by side, whether their difference is real.

    Args:
        first: the content of a result file.
        second: another that can be compared with it.
        names: the names of both, for sentences.

    Returns:
        Rows of `label`, `rerank`, `checkpoint`, `fingerprint`, `runs`, the number of runs of each
        side, and `difference`: by metric an `Interval` of second less first, in points. It is None
        for rows without scores, and `missing` says why.
    """
    return [_intervals(a, b, names) for a, b in row_pairs(first["rows"], second["rows"]) if a and b]


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The intervals for the terminal, each metric on a line; and what they mean."""
    shown = [row for row in rows if row["difference"]]
    for row in shown:
        rule = ", ".join(filter(None, (row["checkpoint"], row["label"])))
        yield f"Second less first, in points: {rule},"
        yield f"  re-ranking {row['rerank']}, {row['fingerprint']}"
        for metric in METRICS:
            yield f"  {metric:5} {_line(row['difference'][metric])}"
    if shown:
        runs = [number for row in shown for number in row["runs"]]
        over = "people, trials and runs" if max(runs) > 1 else "people and trials"
        yield f"95 % intervals by a paired bootstrap over {over}."
        if max(runs) == 1:
            yield "They compare these two models and do not say how other seeds would differ."
        elif min(runs) == 1:
            yield "One side is one run: they do not say how its other seeds would differ."
    yield from dict.fromkeys(row["missing"] for row in rows if row["missing"])


def mean_of_runs(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """One result of several: the mean of runs of one method with different seeds.

    Raises:
        InputError: they are not runs of one method, or were not evaluated alike.
    """
    first, *others = results
    for name, other in zip(names[1:], others, strict=True):
        both = names[0], name
        if first.get("method") != other.get("method"):
            raise InputError(
                f"{both[0]} and {both[1]} have different methods: several results on one side are "
                "runs of one method with different seeds."
            )
        if differing := extraction_differences(first, other, both):
            raise InputError(f"{both[0]} and {both[1]} have no mean: {differing[0]}")
    seeds = [result.get("seed") for result in results]
    if None in seeds or len({*seeds}) < len(seeds):
        raise InputError(
            f"{', '.join(names)} have the seeds {', '.join(map(str, seeds))}: several results on "
            "one side are single runs with different seeds."
        )
    try:
        return {**first, "rows": mean_over_seeds(results)}
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{', '.join(names)} have no mean, since a row lacks {error}; evaluate them again."
        ) from error


def _intervals(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    row = {field: a[field] for field in ("label", "rerank", "fingerprint")}
    row["checkpoint"] = a.get("checkpoint", b.get("checkpoint", ""))
    row |= {"runs": [0, 0], "difference": None, "missing": ""}
    without = [name for name, one in zip(names, (a, b), strict=True) if not one.get("scores")]
    if without:
        which = " and ".join(dict.fromkeys(without))
        return row | {
            "missing": f"{which}: this result of an earlier jreid lacks the scores that a 95 % "
            "interval needs; evaluate again to see whether differences may be chance."
        }
    sides = []
    for name, one in zip(names, (a, b), strict=True):
        try:
            sides.append([unpack(scores) for scores in one["scores"]])
        except (InputError, TypeError) as error:
            raise InputError(f"{name}: {error}") from error
    splits = isinstance(a["protocol"].get("trial"), list)
    return row | {
        "runs": [*map(len, sides)],
        "difference": difference_interval(*sides, splits=splits),
    }


def _line(interval: Interval) -> str:
    verdict = "holds" if interval.holds else "may be chance"
    return f"{interval.value:+7.2f}  [{interval.low:+.2f}, {interval.high:+.2f}]  {verdict}"
