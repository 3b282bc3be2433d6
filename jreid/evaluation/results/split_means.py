"""RegDB's trials are runs of their own: their results' mean and standard deviation."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreid.errors import InputError

STEPS = ("step", "asked_step", "of_steps")
MARKED = ("fallback", "other_data", "trained_on_unknown")  # where one trial is, so is the mean


def mean_over_splits(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each rule that all results have, from the `rows` of single trials.

    Rows belong together if their checkpoint's kind, protocol but for the trial, and re-ranking are
    the same.

    Returns:
        Rows as `evaluate` makes them: `trials` of `of_trials`, `std` over these trials, the fewest
        valid queries of any, and a fingerprint made from theirs.

    Raises:
        InputError: a result lacks a rule that another has.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for row in result["rows"]:
            groups.setdefault(_rule(row), []).append(row)
    for rows in groups.values():
        if len(rows) != len(results):
            raise InputError(
                f"The trials' results are not of the same rules: {rows[0]['label']}, re-ranking "
                f"{rows[0]['rerank']}, is in {len(rows)} of {len(results)}; evaluate the trials "
                "alike and give the same command again."
            )
    return [_mean(rows) for rows in groups.values()]


def _rule(row: Mapping[str, Any]) -> str:
    protocol = {**row["protocol"], "trial": 0}
    return json.dumps([row.get("checkpoint"), protocol, row["rerank"]], sort_keys=True)


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    trials = [row["protocol"]["trial"] for row in rows]
    digest = hashlib.sha256(json.dumps(sorted(row["fingerprint"] for row in rows)).encode())
    metrics = {statistic: _over(rows, statistic) for statistic in ("mean", "std")}
    # A single run's hashes and steps say nothing of ten, unless all have the same.
    of_one = {"images", "unmatched", "weights"}
    of_one |= {name for name in STEPS if len({row.get(name) for row in rows}) > 1}
    kept = {name: first[name] for name in first if name not in of_one}
    marked = {name: True for name in MARKED if any(row.get(name) for row in rows)}
    return {
        **kept,
        **marked,
        "label": first["label"].split(", trial")[0],
        "protocol": {**first["protocol"], "trial": trials},
        "fingerprint": digest.hexdigest()[:12],
        **metrics["mean"],
        "std": metrics["std"],
        "trials": len(rows),
        "queries": min(row["queries"] for row in rows),
        "valid_queries": min(row["valid_queries"] for row in rows),
        "partial": any(row.get("partial") for row in rows),
        "skipped_images": sum(row.get("skipped_images", 0) for row in rows),
    }


def _over(rows: Sequence[Mapping[str, Any]], statistic: str) -> dict[str, Any]:
    function = getattr(np, statistic)
    return {
        "cmc": {k: float(function([row["cmc"][k] for row in rows])) for k in rows[0]["cmc"]},
        "mAP": float(function([row["mAP"] for row in rows])),
        "mINP": float(function([row["mINP"] for row in rows])),
    }
