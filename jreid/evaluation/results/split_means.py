"""Mean and standard deviation of the results of several runs: RegDB's trials, or seeds."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jreid.errors import InputError

STEPS = ("step", "asked_step", "of_steps")
MARKED = ("fallback", "other_data", "trained_on_unknown")  # the mean is marked if one trial is


def mean_over_splits(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each rule that all results have, from the `rows` of single trials.

    Rows belong together if the kind of checkpoint, the protocol except for the trial, and the
    re-ranking are equal.

    Returns:
        Rows as from `evaluate`: `trials` of `of_trials`, `std` over these trials, the smallest
        number of valid queries, and a fingerprint of their fingerprints.

    Raises:
        InputError: a result lacks a rule that another has.
    """
    return [_mean_over_splits(rows) for rows in _by_rule(results, _rule)]


def mean_over_seeds(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each rule that all results have, from the `rows` of runs of several seeds.

    Rows belong together if the kind of checkpoint and the fingerprint are equal.

    Returns:
        Rows as from `evaluate`, with `of_seeds`, the number of seeds, and `std` over these.

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
    return [{**_mean(rows, {"weights"}), "of_seeds": len(rows)} for rows in groups]


def _by_rule(
    results: Sequence[Mapping[str, Any]], rule: Callable[[Mapping[str, Any]], str]
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


def _mean_over_splits(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    trials = [row["protocol"]["trial"] for row in rows]
    digest = hashlib.sha256(json.dumps(sorted(row["fingerprint"] for row in rows)).encode())
    return {
        **_mean(rows, {"images", "unmatched", "weights"}),
        "label": first["label"].split(", trial")[0],
        "protocol": {**first["protocol"], "trial": trials},
        "fingerprint": digest.hexdigest()[:12],
        "trials": len(rows),
    }


def _mean(rows: Sequence[Mapping[str, Any]], of_one: set[str]) -> dict[str, Any]:
    """The first row's fields, with the mean metrics and the marks of all rows.

    Args:
        of_one: the fields that have no meaning for several runs.
    """
    first = rows[0]
    # Nor have steps, unless all are the same.
    of_one = of_one | {name for name in STEPS if len({row.get(name) for row in rows}) > 1}
    scores = [one for row in rows for one in row.get("scores", [])]
    of_one |= {"scores", "mixed"}
    return {
        **{name: first[name] for name in first if name not in of_one},
        **_stopped(rows),
        **{name: True for name in MARKED if any(row.get(name) for row in rows)},
        **_over(rows, "mean"),
        "std": _over(rows, "std"),
        "queries": min(row["queries"] for row in rows),
        "valid_queries": min(row["valid_queries"] for row in rows),
        "partial": any(row.get("partial") for row in rows),
        "skipped_images": sum(row.get("skipped_images", 0) for row in rows),
        **({"mixed": _mean_mixed([row["mixed"] for row in rows])} if "mixed" in first else {}),
        # Earlier results have none.
        **({"scores": scores} if len(scores) == len(rows) else {}),
    }


def _stopped(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The steps of a run that was stopped before its end, which marks the mean too."""
    if rows[0].get("checkpoint") != "last":
        return {}
    steps = [
        {name: row.get(name) for name in ("step", "of_steps")} for row in rows if "of_steps" in row
    ]
    return next((one for one in steps if one["step"] != one["of_steps"]), {})


def _mean_mixed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def over(name: str) -> dict[str, float] | None:
        values = [row[name]["mean"] for row in rows if row[name]]
        return {"mean": float(np.mean(values)), "std": float(np.std(values))} if values else None

    measures = {name: over(name) for name in ("cross_modality_mAP", "confusion")}
    return {"share": float(np.mean([row["share"] for row in rows])), **measures}


def _over(rows: Sequence[Mapping[str, Any]], statistic: str) -> dict[str, Any]:
    function = getattr(np, statistic)
    return {
        "cmc": {k: float(function([row["cmc"][k] for row in rows])) for k in rows[0]["cmc"]},
        "mAP": float(function([row["mAP"] for row in rows])),
        "mINP": float(function([row["mINP"] for row in rows])),
    }
