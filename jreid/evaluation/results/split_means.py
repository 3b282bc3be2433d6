"""Mean and standard deviation of the results of several runs: RegDB's trials, or seeds."""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.protocols.regdb import REGDB_TRIALS
from jreid.evaluation.results.measures import MIXED_METRICS, sample_deviation

STEPS = ("step", "asked_step", "of_steps")
LEAST = ("queries", "valid_queries")  # of which the mean has the smallest of all rows
Rows = Sequence[Mapping[str, Any]]
Statistic = Callable[[Sequence[float]], float]
MARKED = ("fallback", "other_data", "trained_on_unknown")  # the mean is marked if one trial is


def mean_over_splits(results: Rows) -> list[dict[str, Any]]:
    """One row for each rule that all results have, from the `rows` of single trials.

    Rows belong together if the kind of checkpoint, the protocol except for the trial, and the
    re-ranking are equal.

    Returns:
        Rows as from `evaluate`: `trials` of `of_trials`, `std` over these trials (divided by their
        number, as for any trials), the smallest number of valid queries, and a fingerprint of their
        fingerprints. `scores` has an entry for each trial.

    Raises:
        InputError: a result lacks a rule that another has.
    """
    return [_mean_over_splits(rows) for rows in _by_rule(results, _rule)]


def mean_over_seeds(results: Rows) -> list[dict[str, Any]]:
    """One row for each rule that all results have, from the `rows` of runs of several seeds.

    Rows belong together if the kind of checkpoint and the fingerprint are equal.

    Returns:
        Rows as from `evaluate`, with `of_seeds`, the number of seeds, and `std` over these (divided
        by one less than their number). `scores` has an entry for each run, seed after seed; each
        seed has several if its row is a mean over RegDB's trials.

    Raises:
        InputError: a result lacks a rule that another has, or has other images.
    """

    def rule(row: Mapping[str, Any]) -> str:
        return json.dumps([row.get("checkpoint"), row["fingerprint"]])

    groups = _by_rule(results, rule)
    for rows in groups:
        if len({row["images"] for row in rows if row.get("images")}) > 1:
            raise InputError(
                f"The runs were evaluated on different images under the same names in "
                f"{rows[0]['label']}; evaluate all of them on one copy of the dataset."
            )
    return [
        {**_mean(rows, {"weights"}, sample_deviation), "of_seeds": len(rows)} for rows in groups
    ]


def _by_rule(
    results: Rows, rule: Callable[[Mapping[str, Any]], str]
) -> list[list[Mapping[str, Any]]]:
    """The rows that belong together; InputError if one is not in all results."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for row in result["rows"]:
            groups.setdefault(rule(row), []).append(row)
    for rows in groups.values():
        if len(rows) != len(results):
            raise InputError(
                f"The runs were not evaluated by the same protocols: {rows[0]['label']}, "
                f"re-ranking {rows[0]['rerank']}, is in {len(rows)} of {len(results)}; evaluate "
                "all runs by the same protocols and give the same command again."
            )
    return [*groups.values()]


def _rule(row: Mapping[str, Any]) -> str:
    protocol = {**row["protocol"], "trial": 0}
    return json.dumps([row.get("checkpoint"), protocol, row["rerank"]], sort_keys=True)


def _mean_over_splits(rows: Rows) -> dict[str, Any]:
    first = rows[0]
    trials = [row["protocol"]["trial"] for row in rows]
    digest = hashlib.sha256(json.dumps(sorted(row["fingerprint"] for row in rows)).encode())
    return {
        **_mean(rows, {"images", "unmatched", "weights"}, statistics.pstdev),
        "label": first["label"].split(", trial")[0],
        "protocol": {**first["protocol"], "trial": trials},
        "fingerprint": digest.hexdigest()[:12],
        "trials": len(rows),
        "of_trials": REGDB_TRIALS,  # a mixed gallery's own number is that of its draws
    }


def _mean(rows: Rows, of_one: set[str], deviation: Statistic) -> dict[str, Any]:
    """The first row's fields, with the mean metrics and the marks of all rows.

    Args:
        of_one: the fields that have no meaning for several runs.
        deviation: the deviation over the rows.
    """
    first = rows[0]
    # Nor have steps, unless all are the same.
    of_one = of_one | {name for name in STEPS if len({row.get(name) for row in rows}) > 1}
    scores = [row.get("scores", []) for row in rows]
    of_one |= {"scores", "mixed", *LEAST}
    return {
        **{name: first[name] for name in first if name not in of_one},
        **_stopped(rows),
        **{name: True for name in MARKED if any(row.get(name) for row in rows)},
        **_over(rows, statistics.mean),
        "std": _over(rows, deviation),
        **{name: min(row[name] for row in rows) for name in LEAST if _in_all(name, rows)},
        "partial": any(row.get("partial") for row in rows),
        "skipped_images": max(row.get("skipped_images", 0) for row in rows),
        **({"mixed": _mean_mixed(rows, deviation)} if _in_all("mixed", rows) else {}),
        # Earlier results have none.
        **({"scores": [one for some in scores for one in some]} if _alike(scores) else {}),
    }


def _in_all(name: str, rows: Rows) -> bool:
    return all(name in row for row in rows)


def _alike(scores: Sequence[Any]) -> bool:
    """Whether all rows have scores, and equally many."""
    return all(isinstance(some, list) and 0 < len(some) == len(scores[0]) for some in scores)


def _stopped(rows: Rows) -> dict[str, Any]:
    """The steps of a run that was stopped before its end, which marks the mean too."""
    if rows[0].get("checkpoint") != "last":
        return {}
    steps = [
        {name: row.get(name) for name in ("step", "of_steps")} for row in rows if "of_steps" in row
    ]
    return next((one for one in steps if one["step"] != one["of_steps"]), {})


def _mean_mixed(rows: Rows, deviation: Statistic) -> dict[str, Any]:
    def over(name: str) -> dict[str, float] | None:
        values = [float(row["mixed"][name]["mean"]) for row in rows if row["mixed"].get(name)]
        if not values:
            return None
        return {"mean": statistics.mean(values), "std": deviation(values)}

    shares = [row["mixed"]["share"] for row in rows if "share" in row["mixed"]]
    share = {"share": statistics.mean(shares)} if shares else {}
    return share | {name: over(name) for name in MIXED_METRICS}


def _over(rows: Rows, statistic: Statistic) -> dict[str, Any]:
    """A statistic of each metric; of the CMC at the ranks that all rows have."""
    ranks = [rank for rank in rows[0]["cmc"] if all(rank in row["cmc"] for row in rows)]
    return {
        "cmc": {rank: statistic([float(row["cmc"][rank]) for row in rows]) for rank in ranks},
        **{name: statistic([float(row[name]) for row in rows]) for name in ("mAP", "mINP")},
    }
