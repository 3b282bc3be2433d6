"""The intervals of the differences between two results, by their identities' scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.results.bootstrap import (
    ONE_PERSON,
    Interval,
    difference_interval,
    has_one_person,
)
from jreid.evaluation.results.compare import extraction_differences, row_pairs
from jreid.evaluation.results.identity_scores import IdentityScores, unpack
from jreid.evaluation.results.measures import METRICS
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
        Rows of `label`, `rerank`, `checkpoint`, `fingerprint`, `seeds`, the number of each side,
        `splits`, that of RegDB's splits of a seed, and `difference`: by metric an `Interval` of
        second less first, in points. It is None for rows without scores, and `missing` says why.
    """
    return [_intervals(a, b, names) for a, b in row_pairs(first["rows"], second["rows"]) if a and b]


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The intervals for the terminal, each metric on a line; and what they mean."""
    shown = [row for row in rows if row["difference"]]
    for row in shown:
        rule = ", ".join(filter(None, (row["checkpoint"], row["label"])))
        yield f"Second minus first, in points: {rule},"
        yield f"  re-ranking {row['rerank']}, {row['fingerprint']}"
        for metric in METRICS:
            yield f"  {metric:5} {_line(row['difference'][metric])}"
    if shown:
        seeds = [number for row in shown for number in row["seeds"]]
        over = drawn(max(seeds), max(row["splits"] for row in shown))
        yield f"95 % intervals by a paired bootstrap over {over}."
        if max(seeds) == 1:
            yield "Each side has one seed: they do not say how other seeds would differ."
        elif min(seeds) == 1:
            yield "One side has one seed: they do not say how its other seeds would differ."
    yield from dict.fromkeys(row["missing"] for row in rows if row["missing"])


def drawn(seeds: int, splits: int) -> str:
    """What the bootstrap draws: `people, trials and runs` for several seeds."""
    more = ["splits"] * (splits > 1) + ["runs"] * (seeds > 1)
    *most, last = "people", "trials", *more
    return f"{', '.join(most)} and {last}"


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
    return {**first, "seed": None, "seeds": seeds, "rows": mean_over_seeds(results)}


def splits_of(row: Mapping[str, Any]) -> int:
    """How many of RegDB's splits a row is a mean over; 1 for other rows."""
    trial = row["protocol"].get("trial")
    return len(trial) if isinstance(trial, list) else 1


def _intervals(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    row = {field: a[field] for field in ("label", "rerank", "fingerprint")}
    row["checkpoint"] = a.get("checkpoint", b.get("checkpoint", ""))
    row["seeds"] = [one.get("of_seeds", 1) for one in (a, b)]
    row |= {"splits": splits_of(a), "difference": None, "missing": ""}
    without = [name for name, one in zip(names, (a, b), strict=True) if not one.get("scores")]
    if without:
        which = " and ".join(dict.fromkeys(without))
        return row | {
            "missing": f"{which}: the result lacks the scores that a 95 % interval needs, as those "
            "of an earlier jreid do; evaluate again to see whether differences may be chance."
        }
    first, second = (_scores(one, name) for one, name in zip((a, b), names, strict=True))
    if has_one_person(first):
        where = f"{row['label']}, re-ranking {row['rerank']}"
        return row | {"missing": f"{where}: no 95 % interval, since {ONE_PERSON}."}
    return row | {"difference": difference_interval(first, second, row["splits"])}


def _scores(row: Mapping[str, Any], name: str) -> list[IdentityScores]:
    """The scores of each run of a row.

    Raises:
        InputError: they cannot be read, or are not of all runs.
    """
    try:
        scores = [unpack(one) for one in row["scores"]]
    except (InputError, TypeError) as error:
        raise InputError(f"{name}: {error}") from error
    if len(scores) != (runs := row.get("of_seeds", 1) * splits_of(row)):
        raise InputError(
            f"{name}: {row['label']} has the scores of {len(scores)} runs, but is a mean over "
            f"{runs}; evaluate again."
        )
    return scores


def _line(interval: Interval) -> str:
    verdict = "holds" if interval.holds else "may be chance"
    return f"{interval.value:+7.2f}  [{interval.low:+.2f}, {interval.high:+.2f}]  {verdict}"
