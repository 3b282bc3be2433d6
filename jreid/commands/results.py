"""Writes results and prints them: numbers that cannot be written are still printed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from jreid.errors import InputError


def write_fault(write: Callable[[], None]) -> InputError | None:
    """Why a result could not be written, so that its numbers can be printed before the error."""
    try:
        write()
    except InputError as error:
        return error
    return None


def keep_each(
    results: Iterable[dict[str, Any]], write: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], InputError | None]:
    """Writes each result over the one before; returns the last, and why it was not written."""
    result, unwritten = {}, None
    for result in results:
        unwritten = write_fault(partial(write, result))
    return result, unwritten


def raise_incomplete(result: Mapping[str, Any], unwritten: InputError | None) -> None:
    """Raises InputError where a result could not be written or lacks re-ranked rows."""
    if unwritten:
        raise unwritten
    if missing := result.get("missing"):
        raise InputError(f"the result lacks re-ranked rows: {missing[0]}")


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints result rows under a title."""
    from jreid.console import Console
    from jreid.evaluation.results.tables import format_table

    console = Console(width=max(Console().width, 200))
    console.print(title)
    console.print(format_table(rows))


def print_rows(config: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a run's result rows."""
    marked = ", partial dataset" if any(row.get("partial") for row in rows) else ""
    seeds = f", mean of {rows[0]['of_seeds']} seeds" if rows and "of_seeds" in rows[0] else ""
    print_table(f"{config.method} on {config.data.name}, test split{marked}{seeds}", rows)
