"""The order of evaluation: raw rows before re-ranked ones, which take far more memory and time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.ranking.rerank_options import Rerank


class Wanted(NamedTuple):
    """What a result row is of.

    Attributes:
        features: whose, where there are several: the step of a checkpoint.
        protocol: by which rule.
        rerank: how distances are re-ranked; None: they are not.
    """

    features: int
    protocol: Protocol
    rerank: Rerank | None


class Rows(NamedTuple):
    """Result rows as far as there are.

    Attributes:
        rows: by what they are of.
        missing: why re-rankings that were tried have no row, a sentence each.
    """

    rows: dict[Wanted, dict[str, Any]]
    missing: list[str]


def raw_first(wanted: Sequence[Wanted], row: Callable[[Wanted], dict[str, Any]]) -> Iterator[Rows]:
    """Yields the raw rows as soon as there are, then those and the re-ranked ones.

    Args:
        row: makes a row; InputError where it cannot.

    Raises:
        InputError: a raw row cannot be made, or no row at all.

    >>> wanted = [Wanted(0, read_protocol("llcm"), one) for one in (Rerank(), None)]
    >>> [len(part.rows) for part in raw_first(wanted, lambda one: {"rerank": one.rerank})]
    [1, 2]
    """
    raw = {one: row(one) for one in wanted if one.rerank is None}
    if raw:
        yield Rows(raw, [])
    reranked = [one for one in wanted if one.rerank is not None]
    rows, missing = dict(raw), []
    for one in reranked:
        try:
            rows[one] = row(one)
        except InputError as error:
            missing.append(str(error))
    if not rows:
        raise InputError(missing[0])
    if reranked:
        yield Rows(rows, missing)
