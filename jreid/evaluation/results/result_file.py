"""Reads result files, and checks that their fields can be used."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jreid.errors import InputError
from jreid.files import read_json

REQUIRED = ("fingerprint", "label", "rerank", "protocol", "cmc", "mAP", "mINP")
TEXTS = (
    *("fingerprint", "label", "rerank", "checkpoint", "images", "weights", "dataset"),
    *("protocol_text", "trained_on", "of_split"),
)
COUNTS = ("trials", "of_trials", "queries", "valid_queries", "skipped_images", "of_seeds")
RANK = re.compile("[1-9][0-9]{0,5}")
STEPS = ("step", "asked_step", "of_steps")


def read_result(path: Path) -> dict[str, Any]:
    """The content of a result file, or of a run's `result.json` if its folder is given.

    Raises:
        InputError: it cannot be read, or is not a result.

    >>> from pathlib import Path
    >>> read_result(Path("nothing.json"))
    Traceback (most recent call last):
    ...
    jreid.errors.InputError: nothing.json cannot be read as a result ...
    """
    path = path / "result.json" if path.is_dir() else path
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a result ({error}); give a result.json that jreid wrote."
        ) from error
    result_rows(content, str(path))
    return content


def result_rows(content: Any, name: str) -> list[Mapping[str, Any]]:
    """The rows of a result whose fields can be used: those that it has have the right types.

    Args:
        name: of the result, for the error.

    Raises:
        InputError: it is not a result; the error names the field.
    """
    if fault := _fault(content):
        raise InputError(
            f"{name} is not a result of this version of jreid ({fault}); give a result.json that "
            "its `evaluate` wrote."
        )
    return content["rows"]


def _fault(content: Any) -> str:
    rows = content.get("rows") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not rows:
        return "it has no rows"
    for field, is_usable in OF_RESULT.items():
        if field in content and not is_usable(content[field]):
            return f"its {field} cannot be used"
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            return f"rows[{number}] is no object"
        for field in REQUIRED:
            if field not in row:
                return f"rows[{number}] has no {field}"
        for field, value in row.items():
            if field in OF_ROW and not OF_ROW[field](value):
                return f"{field} of rows[{number}] cannot be used"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_share(value: Any) -> bool:
    """A mean may be rounded to a little above 1."""
    return type(value) in (int, float) and 0 <= value <= 1.000001


def _is_curve(value: Any) -> bool:
    """Shares by rank, as text."""
    return isinstance(value, Mapping) and all(
        isinstance(rank, str) and RANK.fullmatch(rank) and _is_share(share)
        for rank, share in value.items()
    )


def _is_cmc(value: Any) -> bool:
    return _is_curve(value) and "1" in value


def _is_deviation(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_curve(value.get("cmc", {}))
        and all(_is_share(value.get(name, 0)) for name in ("mAP", "mINP"))
    )


def _is_mixed(value: Any) -> bool:
    """The measures of a gallery of both modalities: each a mean and a deviation, or None."""
    return isinstance(value, Mapping) and all(
        _is_share(one) if name == "share" else one is None or _is_mean(one)
        for name, one in value.items()
    )


def _is_mean(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_share(value.get("mean"))
        and _is_share(value.get("std", 0))
    )


def _is_rule(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        OF_RULE[name](one) for name, one in value.items() if name in OF_RULE
    )


def _is_split(value: Any) -> bool:
    """The number of a split, or those of a mean over several."""
    return _is_count(value) or (_is_list(_is_count)(value) and len(value) > 0)


def _is_list(is_item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(is_item, value))


def _is_pair(value: Any) -> bool:
    return _is_list(_is_count)(value) and len(value) == 2


def _or_none(is_usable: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_usable(value)


OF_ROW: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(TEXTS, _is_text),
    **dict.fromkeys(COUNTS, _is_count),
    **dict.fromkeys(STEPS, _or_none(_is_count)),
    **dict.fromkeys(("mAP", "mINP"), _is_share),
    "protocol": _is_rule,
    "cmc": _is_cmc,
    "std": _is_deviation,
    "mixed": _is_mixed,
}
OF_RULE: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "split", "search", "experiment", "dataset"), _is_text),
    **dict.fromkeys(("direction", "draw", "drawn", "ignore", "cmc", "distance"), _is_text),
    **dict.fromkeys(("shots", "trials", "images"), _is_count),
    **dict.fromkeys(("query_cameras", "gallery_cameras"), _is_list(_is_count)),
    "rooms": _is_list(_is_pair),
    "share": _or_none(_is_share),
    "trial": _is_split,
    "queries": _is_text,
}
OF_RESULT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("method", "dataset", "features"), _is_text),
    "data_fingerprint": _or_none(_is_text),
    "seed": _or_none(_is_count),
    **dict.fromkeys(("seeds", "trials"), _is_list(_is_count)),
    "missing": _is_list(_is_text),
}
