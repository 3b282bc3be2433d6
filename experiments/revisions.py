"""What trained a table's runs: revisions of jreid, devices, and weights that they start from."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)
Results = Mapping[str, Sequence[Mapping[str, Any]]]  # by the name of the row, one for each seed


def trained_by(record: Mapping[str, Any]) -> str:
    """`2630a71 on 1 x cpu`, of a run's record; all that it names if others resumed the run.

    Weights of a file that it started from are added: `2630a71 on 1 x cpu from weights 0a1b2c3`.
    """
    revisions = [re.sub(r"^([0-9a-f]{7})[0-9a-f]+", r"\1", one) for one in _all(record, "revision")]
    parts = [" and ".join(dict.fromkeys(some)) for some in (revisions, _all(record, "device"))]
    weights = str((record.get("start") or {}).get("sha256") or "")[:7]
    return " on ".join(filter(None, parts)) + f" from weights {weights}" * bool(weights)


def _all(record: Mapping[str, Any], name: str) -> list[str]:
    """The values of a field, now and before each change that the record lists."""

    def values() -> Iterator[Any]:
        yield record.get(name)
        for drift in record.get("drifts", []):
            for change in drift.get("changed", []):
                if str(change).startswith(f"{name}: "):
                    yield from str(change).removeprefix(f"{name}: ").split(", ")

    return [str(value) for value in dict.fromkeys(values()) if value]


def describe(results: Results) -> str:
    """`trained by 2630a71 on 1 x cpu`, or each with its rows; empty if it is not known."""
    groups = _groups(results)
    if len(groups) < 2:
        return "".join(f"trained by {one}" for one in groups if one)
    named = [f"{one or 'an unknown revision'} ({', '.join(rows)})" for one, rows in groups.items()]
    return f"trained by {', '.join(named)}"


def warn_of_several(title: str, results: Results) -> None:
    """Warns of a table whose runs differ in what trained them.

    A finished run is not trained again when the code changes, and a change may have changed its
    numbers.
    """
    if len(_groups(results)) > 1:
        log.warning(
            "%s has runs of several revisions, devices or first weights: %s; `git log` says "
            "whether a change of the code concerns their numbers. To train all of them again, give "
            "another --output.",
            title,
            describe(results),
        )


def _groups(results: Results) -> dict[str, list[str]]:
    """The rows by what trained their runs."""
    groups: dict[str, dict[str, None]] = {}
    for name, of_seeds in results.items():
        for result in of_seeds:
            groups.setdefault(result.get("trained_by", ""), {})[name] = None
    return {one: [*rows] for one, rows in groups.items()}
