"""The codes of each kind of re-ranking, from the neighbors that it looks at."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from jreid.evaluation.ranking.distance_tiles import SMALLEST, Found, Neighbors, join
from jreid.evaluation.ranking.jaccard import encode, reciprocal
from jreid.evaluation.ranking.rerank_options import BY_SIDE, Rerank

Sides = tuple[np.ndarray, np.ndarray]


def domains(
    rerank: Rerank, found: Found, sides: Sides, distance: str
) -> Iterator[scipy.sparse.csr_array]:
    """The codes `[N, N]` of each domain, over whose Jaccard distances the kind takes the mean.

    Args:
        found: the neighbors among the queries and among the gallery, for the kinds that look at
            them apart and for MA-LQE; else among all candidates.
        sides: the features of the queries and of the gallery.
        distance: `cosine` or `euclidean`.
    """
    if rerank.kind in BY_SIDE:
        yield from _constrained(rerank, found, sides, distance)
    else:
        yield _one(rerank, found, sides, distance)


def relative_to(farthest: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The squared distances that weights are relative to: 1 where all distances are 0."""
    return np.where(farthest <= SMALLEST, np.float32(1), farthest)


def _one(rerank: Rerank, found: Found, sides: Sides, distance: str) -> scipy.sparse.csr_array:
    known = near = found.lists[0]
    if len(found.lists) == 2:
        near, known = join(*found.lists), _both(found.lists)
    sets = reciprocal(_first(near, rerank.k1))
    if rerank.kind == "extended":
        of_query = np.arange(len(near.index)) < len(sides[0])
        across = _entries(_by_side(found.lists, rerank.k1), lambda i, j: of_query[i] != of_query[j])
        sets = scipy.sparse.csr_array(sets.maximum(across))
    averaged = near.index[:, : rerank.k2]
    if rerank.k3 is not None:
        queries, gallery = found.lists
        of_each = queries.index[:, : rerank.k2 - rerank.k3], gallery.index[:, : rerank.k3]
        averaged = np.hstack(of_each)
    averaged = averaged if rerank.k2 > 1 else None
    half = reciprocal(_first(near, round(rerank.k1 / 2)))
    farthest = found.farthest[0] if rerank.kind == "divided" else found.farthest.max(axis=0)
    return encode(sets, half, averaged, known, relative_to(farthest), sides, distance)


def _constrained(
    rerank: Rerank, found: Found, sides: Sides, distance: str
) -> Iterator[scipy.sparse.csr_array]:
    """The codes over the gallery, and those over the queries."""
    Q, G = map(len, sides)
    known, of_query = _both(found.lists), np.arange(Q + G) < Q
    for side, inside in ((1, ~of_query), (0, of_query)):
        sets, half = (
            _entries(_by_side(found.lists, k), lambda _, j, inside=inside: inside[j])
            for k in (rerank.k1, round(rerank.k1 / 2))
        )
        averaged = found.lists[side].index[:, : rerank.k2]
        if rerank.kind == "constrained_released":
            averaged = _slipped(averaged, side, Q, G)
        farthest = relative_to(found.farthest[side])
        averaged = averaged if rerank.k2 > 1 else None
        yield encode(sets, half, averaged, known, farthest, sides, distance)


def _slipped(averaged: Int[np.ndarray, "n m"], side: int, Q: int, G: int) -> np.ndarray:
    """The images whose codes the released code averages in place of these.

    It puts the codes of the other side before those of this one, and takes a number within this
    side for a row of both.
    """
    if side == 1:
        return averaged - Q
    return np.where(averaged < G, averaged + Q, averaged - G)


def _by_side(lists: list[Neighbors], k: int) -> scipy.sparse.csr_array:
    """`[N, N]`: 1 if each of two images is among the first k + 1 of its own side for the other."""
    return reciprocal(np.hstack([_first(near, k) for near in lists]))


def _entries(
    sets: scipy.sparse.csr_array, wanted: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> scipy.sparse.csr_array:
    """Only the entries whose rows and columns are wanted."""
    entries = sets.tocoo()
    i, j = entries.coords
    kept = wanted(i, j)
    return scipy.sparse.csr_array((entries.data[kept], (i[kept], j[kept])), sets.shape)


def _first(near: Neighbors, k: int) -> Int[np.ndarray, "n m"]:
    return near.index[:, : k + 1]


def _both(lists: list[Neighbors]) -> Neighbors:
    return Neighbors(*(np.hstack(part) for part in zip(*lists, strict=True)))
