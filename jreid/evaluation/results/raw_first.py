"""The order of evaluation: rows without re-ranking come first, since re-ranking is slow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.ranking.rerank_options import Rerank


class Wanted(NamedTuple):
    """The subject of a result row.

    Attributes:
        features: which ones, if there are several: the step of a checkpoint.
        protocol: the evaluation rule.
        rerank: how distances are re-ranked; None for no re-ranking.
    """

    features: int
    protocol: Protocol
    rerank: Rerank | None


class Rows(NamedTuple):
    """The result rows that are complete.

    Attributes:
        rows: by their subject.
        missing: why re-rankings have failed, one sentence for each.
    """

    rows: dict[Wanted, dict[str, Any]]
    missing: list[str]


def raw_first(wanted: Sequence[Wanted], row: Callable[[Wanted], dict[str, Any]]) -> Iterator[Rows]:
    """Yields the rows without re-ranking as soon as they exist, then all rows.

    Args:
        row: computes a row; InputError if it cannot.

    Raises:
        InputError: a row without re-ranking fails, or every row fails.

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
