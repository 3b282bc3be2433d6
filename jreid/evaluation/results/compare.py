"""Compares two results whose fingerprints show that they measure the same experiment."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.results.marks import marks, repeats_last
from jreid.evaluation.results.measures import metrics_of, percent
from jreid.evaluation.results.result_file import result_rows

# Fields of an extraction that were added later, with the value for earlier results.
LATER_EXTRACTION = {"image.gray_infrared": False}


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pairs the rows of two results by fingerprint, and by checkpoint if both record it.

    Rows of a best checkpoint that is the last one are left out.

    Args:
        first: the content of a result file, with `rows`.
        second: another.

    Returns:
        Rows of `label`, `rerank`, `checkpoint`, `fingerprint`, and `first`, `second` and
        `difference` (second less first): R1, mAP and mINP, and the measures of a mixed gallery, in
        percent and in points; and `marks`, the marks of both rows. A row of one result without a
        partner in the other has None for the other and for the difference.

    Raises:
        InputError: no two rows can be compared, or two rows have different images; the error names
            the difference.

    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", "protocol": {}}
    >>> row |= {"cmc": {"1": 0.5}, "mAP": 0.25, "mINP": 0.25}
    >>> (pair,) = compare({"rows": [row]}, {"rows": [row | {"mAP": 0.5}]})
    >>> pair["difference"]
    {'R1': 0.0, 'mAP': 25.0, 'mINP': 0.0}
    """
    ours, theirs = (
        result_rows(content, f"The {name} file")
        for name, content in (("first", first), ("second", second))
    )
    pairs = row_pairs(ours, theirs)
    if not any(a and b for a, b in pairs):
        raise InputError(f"The results cannot be compared: {_why_not(ours, theirs)}.")
    for a, b in pairs:
        if a and b and a.get("images") and b.get("images") and a["images"] != b["images"]:
            raise InputError(
                f"The results cannot be compared: in {a['label']} they use different images under "
                f"the same names and labels ({a['images'][:12]} and {b['images'][:12]}); evaluate "
                "both on one copy of the dataset."
            )
    return [_row(a, b) for a, b in pairs]


def row_pairs(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """The rows of two results by experiment; None for a row without a partner in the other.

    Rows of a best checkpoint that is the last one are left out: they have its numbers.
    """
    pairs = [(a, b) for a in ours for b in theirs if _same_experiment(a, b)]
    alone = [
        *((a, None) for a in ours if not any(a is pair[0] for pair in pairs)),
        *((None, b) for b in theirs if not any(b is pair[1] for pair in pairs)),
    ]

    def repeats(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> bool:
        sides = ((row, rows) for row, rows in ((a, ours), (b, theirs)) if row)
        of_best = [(row, rows) for row, rows in sides if row.get("checkpoint") == "best"]
        return bool(of_best) and all(repeats_last(row, rows) for row, rows in of_best)

    return [pair for pair in [*pairs, *alone] if not repeats(*pair)]


def _same_experiment(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two rows have one fingerprint, and one checkpoint if both record it."""
    checkpoints = {row["checkpoint"] for row in (a, b) if "checkpoint" in row}
    return a["fingerprint"] == b["fingerprint"] and len(checkpoints) < 2


def extraction_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str]
) -> list[str]:
    """The differences between the feature extractions of two results, one sentence for each.

    Args:
        first, second: as in `compare`.
        names: the names of both results.
    """
    ours, theirs = (_extraction(content) for content in (first, second))
    unknown = [name for name, found in zip(names, (ours, theirs), strict=True) if not found]
    if unknown:
        return [f"{name} does not say how its features were extracted." for name in unknown]
    differing = _fields_that_differ(ours, theirs)
    return [f"Features were extracted differently: {'; '.join(differing)}."] if differing else []


def _extraction(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("extraction")
    return {**LATER_EXTRACTION, **found} if isinstance(found, Mapping) and found else {}


def _row(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> dict[str, Any]:
    rows = [row for row in (a, b) if row is not None]
    sides = {"first": a, "second": b}
    first, second = (_metrics(row) if row else None for row in (a, b))
    difference = None
    if first and second:
        difference = {name: second[name] - first[name] for name in first if name in second}
    return {
        **{field: rows[0][field] for field in ("label", "rerank", "fingerprint")},
        "checkpoint": next((row["checkpoint"] for row in rows if "checkpoint" in row), ""),
        "first": first,
        "second": second,
        "difference": difference,
        "marks": [f"{side}: {mark}" for side, row in sides.items() for mark in marks(row or {})],
    }


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    values = {measure: percent(row, measure) for measure in metrics_of(row)}
    return {measure: value for measure, value in values.items() if value is not None}


def _why_not(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> str:
    """The differences of the two most similar rows."""
    differing = min((_differences(a, b) for a in ours for b in theirs), key=len)
    if differing:
        return f"they differ in {'; '.join(differing)}"
    return "they have the same rule but other images or labels"


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Each field that differs between the rules, as `shots: 1, 10`."""
    left, right = ({**row["protocol"], "rerank": row["rerank"]} for row in (a, b))
    if "checkpoint" in a and "checkpoint" in b:
        left["checkpoint"], right["checkpoint"] = a["checkpoint"], b["checkpoint"]
    return _fields_that_differ(left, right)


def _fields_that_differ(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return [
        f"{field}: {left.get(field, '-')}, {right.get(field, '-')}"
        for field in {**left, **right}
        # As JSON, which has no tuples: one of them may not come from a file.
        if json.dumps(left.get(field)) != json.dumps(right.get(field))
    ]
