"""From the ranks of the matches to CMC, average precision and mINP."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError


class QueryScores(NamedTuple):
    """The scores of each of Q queries; a query without a match has zeros.

    Attributes:
        rank: `[Q]` int32, from 1: the rank of the first match, among identities or images.
        average_precision: `[Q]` float64: mean over the matches j of j / rank of match j.
        inverse_negative_penalty: `[Q]` float64: matches / rank of the last match.
        matches: `[Q]` int32: the gallery images kept that show the query's identity.
    """

    rank: Int[np.ndarray, " q"]
    average_precision: Float[np.ndarray, " q"]
    inverse_negative_penalty: Float[np.ndarray, " q"]
    matches: Int[np.ndarray, " q"]


class Metrics(NamedTuple):
    """Means over the valid queries, those with a match, as fractions.

    Attributes:
        cmc: rank -> share of queries with their first match at that rank or before.
        mean_average_precision: mAP.
        mean_inverse_negative_penalty: mINP (Ye et al., TPAMI 2021).
        valid_queries: the number of queries with a match.
    """

    cmc: dict[int, float]
    mean_average_precision: float
    mean_inverse_negative_penalty: float
    valid_queries: int


def mean_metrics(ranking: QueryScores, ranks: tuple[int, ...] = (1, 5, 10, 20)) -> Metrics:
    """The usual metrics of a ranking, over its valid queries.

    Raises:
        InputError: no query has a match.

    >>> ranking = QueryScores(*(np.array(x) for x in ([1, 3], [1.0, 0.5], [1.0, 0.5], [2, 1])))
    >>> mean_metrics(ranking, ranks=(1, 5))  # doctest: +NORMALIZE_WHITESPACE
    Metrics(cmc={1: 0.5, 5: 1.0}, mean_average_precision=0.75,
            mean_inverse_negative_penalty=0.75, valid_queries=2)
    """
    valid = ranking.matches > 0
    if not valid.any():
        raise InputError(
            f"None of the {len(valid)} queries has a match in the gallery, so there is nothing to "
            "average: check the identities and groups of queries and gallery."
        )
    return Metrics(
        {rank: float((ranking.rank[valid] <= rank).mean()) for rank in ranks},
        float(ranking.average_precision[valid].mean()),
        float(ranking.inverse_negative_penalty[valid].mean()),
        int(valid.sum()),
    )


def empty_scores(queries: int) -> QueryScores:
    """Scores in which no query has a match."""
    integers, floats = np.zeros((2, queries), np.int32), np.zeros((2, queries))
    return QueryScores(integers[0], floats[0], floats[1], integers[1])


def fill(
    ranking: QueryScores,
    rows: Int[np.ndarray, " b"],
    match: Float[np.ndarray, "b p"],
    before: Int[np.ndarray, "b p"],
    rank: Int[np.ndarray, " b"] | None,
) -> None:
    """Writes the scores of some queries.

    Args:
        match: distances of the matches in any order; infinite: none.
        before: images of others at each match's distance or nearer.
        rank: the first match's, from 1; None: that among images.
    """
    is_match = match < np.inf
    matches = is_match.sum(axis=1)
    number = np.arange(1, match.shape[1] + 1)
    # Nearer matches have fewer images before them; entries that are not a match come last.
    ranks = np.sort(np.where(is_match, before, np.int64(2**40)), axis=1) + number
    precision = np.where(number <= matches[:, None], number / ranks, 0)
    last = np.take_along_axis(ranks, np.maximum(matches - 1, 0)[:, None], axis=1)[:, 0]
    ranking.rank[rows] = np.where(matches > 0, ranks[:, 0] if rank is None else rank, 0)
    ranking.average_precision[rows] = precision.sum(axis=1) / np.maximum(matches, 1)
    ranking.inverse_negative_penalty[rows] = matches / last
    ranking.matches[rows] = matches
