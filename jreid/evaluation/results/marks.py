"""Marks of a result row: restrictions that its other columns do not show."""

from collections.abc import Iterable, Mapping
from typing import Any

from jreid.evaluation.ranking.rerank_options import TUNED, is_tuned


def marks(row: Mapping[str, Any]) -> list[str]:
    """The row's marks in words; empty for a row without restrictions."""
    words = []
    if row.get("partial"):
        words.append("partial")
    if row.get("skipped_images"):
        words.append(f"{row['skipped_images']} training images skipped")
    if row.get("other_data"):
        words.append("other data")
    if row.get("trained_on_unknown"):
        words.append("perhaps trained on")
    if row.get("of_split", "test") != "test":
        words.append(f"{row['of_split']} split")
    if is_tuned(row.get("rerank", ""), row.get("dataset", "")):
        words.append(TUNED)
    step, asked, steps = (row.get(name) for name in ("step", "asked_step", "of_steps"))
    if row.get("fallback"):
        words.append(f"step {asked} is damaged" if asked is not None else "a step is damaged")
    elif row.get("checkpoint") == "last" and step is not None and steps is not None:
        words += [f"stopped before step {steps}"] if step < steps else []
        words += [f"trained beyond step {steps}"] if step > steps else []
    return words


def repeats_last(row: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a row of the best checkpoint equals one of the last: it is the same checkpoint.

    Args:
        rows: of the same result.
    """
    return row.get("checkpoint") == "best" and {**row, "checkpoint": "last"} in rows


def without_repeated(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a result without those of a best checkpoint that is the last one."""
    rows = [*rows]
    return [row for row in rows if not repeats_last(row, rows)]
