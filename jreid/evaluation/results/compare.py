"""Two results side by side, where their fingerprints say that they are of one experiment."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.results.marks import marks

METRICS = ("R1", "mAP", "mINP")
# Fields of an extraction that came later, with the value that stands for what was done before.
LATER_EXTRACTION = {"image.gray_infrared": False}


def read_result(path: Path) -> dict[str, Any]:
    """The content of a result file.

    Raises:
        InputError: it cannot be read, or is no result.

    >>> from pathlib import Path
    >>> read_result(Path("nothing.json"))
    Traceback (most recent call last):
    ...
    jreid.errors.InputError: nothing.json cannot be read as a result ...
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a result ({error}); give a result.json that jreid wrote."
        ) from error
    _rows(content, str(path))
    return content


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pairs the rows of two results that have one fingerprint, and one checkpoint where both tell.

    Args:
        first: the content of a result file, with `rows`.
        second: another.

    Returns:
        Rows of `label`, `rerank`, `checkpoint`, `fingerprint`, and `first`, `second` and
        `difference` (second less first): R1, mAP and mINP in per cent and in points; and `marks`,
        in which way one of both is not what it seems to be. A row of one result without a partner
        in the other has None for the other and for the difference.

    Raises:
        InputError: no two rows can be compared, or two are of different images; the sentence names
            what differs.

    >>> row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", "protocol": {}}
    >>> row |= {"cmc": {"1": 0.5}, "mAP": 0.25, "mINP": 0.25}
    >>> (pair,) = compare({"rows": [row]}, {"rows": [row | {"mAP": 0.5}]})
    >>> pair["difference"]
    {'R1': 0.0, 'mAP': 25.0, 'mINP': 0.0}
    """
    ours, theirs = _rows(first, "The first file"), _rows(second, "The second file")
    pairs = [(a, b) for a in ours for b in theirs if _same_experiment(a, b)]
    if not pairs:
        raise InputError(f"The results cannot be compared: {_why_not(ours, theirs)}.")
    for a, b in pairs:
        if a.get("images") and b.get("images") and a["images"] != b["images"]:
            raise InputError(
                f"The results cannot be compared: in {a['label']} they are of other images under "
                f"the same names and labels ({a['images'][:12]} and {b['images'][:12]}); evaluate "
                "both on one copy of the dataset."
            )
    return [
        *(_row(a, b) for a, b in pairs),
        *(_row(a, None) for a in ours if not any(a is pair[0] for pair in pairs)),
        *(_row(None, b) for b in theirs if not any(b is pair[1] for pair in pairs)),
    ]


def extraction_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str]
) -> list[str]:
    """In which way the features of two results were extracted differently, a sentence each.

    Args:
        first, second: as in `compare`.
        names: of both.
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
    difference = {m: second[m] - first[m] for m in METRICS} if first and second else None
    return {
        **{field: rows[0][field] for field in ("label", "rerank", "fingerprint")},
        "checkpoint": next((row["checkpoint"] for row in rows if "checkpoint" in row), ""),
        "first": first,
        "second": second,
        "difference": difference,
        "marks": [f"{side}: {mark}" for side, row in sides.items() for mark in marks(row or {})],
    }


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    values = row["cmc"]["1"], row["mAP"], row["mINP"]
    return {metric: 100 * value for metric, value in zip(METRICS, values, strict=True)}


def _same_experiment(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    checkpoints = {row["checkpoint"] for row in (a, b) if "checkpoint" in row}
    return a["fingerprint"] == b["fingerprint"] and len(checkpoints) < 2


def _why_not(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> str:
    """What the two rows that differ least differ in."""
    differing = min((_differences(a, b) for a in ours for b in theirs), key=len)
    if differing:
        return f"they differ in {'; '.join(differing)}"
    return "they are of the same rule on other images or labels"


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Each field of the rules that differs, as `shots: 1, 10`."""
    left, right = ({**row["protocol"], "rerank": row["rerank"]} for row in (a, b))
    if "checkpoint" in a and "checkpoint" in b:
        left["checkpoint"], right["checkpoint"] = a["checkpoint"], b["checkpoint"]
    return _fields_that_differ(left, right)


def _fields_that_differ(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return [
        f"{field}: {left.get(field, '-')}, {right.get(field, '-')}"
        for field in {**left, **right}
        # As JSON, which knows no tuples: one of them may not have been in a file.
        if json.dumps(left.get(field)) != json.dumps(right.get(field))
    ]


def _rows(content: Any, name: str) -> list[Mapping[str, Any]]:
    """The rows of a result, once each has what is compared."""
    rows = content.get("rows") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
        raise InputError(
            f"{name} is no result of this version of jreid; give a result.json that its "
            "`evaluate` wrote."
        )
    return rows


def _is_row(row: Any) -> bool:
    try:
        texts = [row[field] for field in ("fingerprint", "label", "rerank")]
        texts += [row.get(field, "") for field in ("checkpoint", "images")]
        numbers = [*_metrics(row).values()]
        return (
            isinstance(row["protocol"], Mapping)
            and all(isinstance(text, str) for text in texts)
            # In per cent. An infinity is outside, too; a mean may round to a little above.
            and all(0 <= number <= 100.0001 for number in numbers)
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}")
