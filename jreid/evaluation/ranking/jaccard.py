"""The codes of k-reciprocal re-ranking from nearest neighbors, and their overlap; sparse."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int

from jreid.evaluation.ranking.distance_tiles import Neighbors
from jreid.evaluation.ranking.gallery import normalize_for

PAIRS = 1024  # distances of scattered pairs computed at once
SHARED = 2**18  # entries of codes compared at once, few enough to stay in a processor's cache


def encode(
    sets: scipy.sparse.csr_array,
    half: scipy.sparse.csr_array,
    averaged: Int[np.ndarray, "n m"] | None,
    known: Neighbors,
    largest: Float[np.ndarray, " n"],
    sides: tuple[np.ndarray, np.ndarray],
    distance: str,
) -> scipy.sparse.csr_array:
    """The codes `[N, N]` float32: Gaussian weights of the expanded k-reciprocal sets (eq. 3 to 7),
    averaged over each image's nearest (eq. 11). The code of an empty set is 0.

    Args:
        sets: `[N, N]` the k-reciprocal sets, as 0 and 1.
        half: `[N, N]` those for half of k1, which may be added.
        averaged: the images whose codes are averaged; None: only the image's own.
        known: distances that are known already.
        largest: the squared distance that the weights are relative to.
        sides: the features of the queries and of the gallery.
        distance: `cosine` or `euclidean`.
    """
    N = len(largest)
    shared = sets.multiply(sets @ half.T).tocoo()
    i, j = shared.coords
    most = 3 * shared.data > 2 * half.sum(axis=1)[j]
    expanding = _ones(i[most], j[most], N)
    i, j = (sets + expanding @ half).tocoo().coords
    squared, unknown = _known_distances(known, i, j)
    squared[unknown] = _far_distances(*sides, distance, i[unknown], j[unknown])
    weight = np.exp(-squared / largest[i])
    weight /= np.bincount(i, weight, N)[i]
    codes = scipy.sparse.csr_array((weight.astype(np.float32), (i, j)), (N, N))
    if averaged is None:
        return codes
    nearest = members(averaged).astype(np.float32)
    return scipy.sparse.csr_array(nearest @ codes / np.float32(averaged.shape[1]))


def members(index: Int[np.ndarray, "n m"]) -> scipy.sparse.csr_array:
    """`[N, N]`: 1 where a row names an image; -1 names none."""
    row, column = np.repeat(np.arange(len(index)), index.shape[1]), index.ravel()
    named = column >= 0
    return _ones(row[named], column[named], len(index))


def reciprocal(index: Int[np.ndarray, "n m"]) -> scipy.sparse.csr_array:
    """`[N, N]`: 1 if two images name each other (eq. 2), else 0."""
    forward = members(index)
    return forward.multiply(forward.T).tocsr()


def shared_weight(
    codes: scipy.sparse.csr_array, inverted: scipy.sparse.csc_array, G: int
) -> Float[np.ndarray, "b g"]:
    """The sums over images of the smaller of each query's and gallery image's weights."""
    result = np.zeros((len(codes.indptr) - 1, G), np.float32)
    length = np.diff(inverted.indptr)[codes.indices]
    before = np.append(0, np.cumsum(length))[codes.indptr]
    cuts = np.flatnonzero(np.diff(before[:-1] // SHARED)) + 1
    for rows in np.split(np.arange(len(result)), cuts):
        some = slice(rows[0], rows[-1] + 1)
        result[some] = _shared_at_once(codes[some], inverted, G)
    return result


def _ones(row: np.ndarray, column: np.ndarray, N: int) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array((np.ones(len(row), np.int32), (row, column)), (N, N))


def _known_distances(
    near: Neighbors, i: Int[np.ndarray, " p"], j: Int[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " p"], Int[np.ndarray, " u"]]:
    """Squared distances of pairs, and the pairs that are not neighbors."""
    N, k = near.index.shape
    named = np.flatnonzero(near.index >= 0)
    place = named // k, near.index.ravel()[named]
    number = scipy.sparse.csr_array((named + 1, place), (N, N))[i, j]
    return near.distance.ravel()[number - 1], np.flatnonzero(number == 0)


def _far_distances(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    distance: str,
    i: Int[np.ndarray, " p"],
    j: Int[np.ndarray, " p"],
) -> Float[np.ndarray, " p"]:
    """Squared distances of scattered pairs, one by one."""
    Q = len(query)
    result = np.zeros(len(i), np.float32)
    sides = np.zeros((2, PAIRS, query.shape[1]), np.float32)
    for start in range(0, len(i), PAIRS):
        some = slice(start, start + PAIRS)
        for side, rows in zip(sides, (i[some], j[some]), strict=True):
            of_query = rows < Q
            side[: len(rows)][of_query] = query[rows[of_query]]
            side[: len(rows)][~of_query] = gallery[rows[~of_query] - Q]
        result[some] = np.asarray(_scattered(*sides, distance))[: len(i) - start]
    return result


def _shared_at_once(
    codes: scipy.sparse.csr_array, inverted: scipy.sparse.csc_array, G: int
) -> Float[np.ndarray, "b g"]:
    b = len(codes.indptr) - 1
    end = inverted.indptr[1:][codes.indices]
    length = end - inverted.indptr[codes.indices]
    entry = np.arange(length.sum()) + np.repeat(end - np.cumsum(length), length)
    smaller = np.minimum(inverted.data[entry], np.repeat(codes.data, length))
    cell = np.repeat(np.repeat(np.arange(b) * G, np.diff(codes.indptr)), length)
    cell += inverted.indices[entry]
    # For empty input numpy returns integers.
    return np.bincount(cell, smaller, b * G).reshape(b, G).astype(np.float64, copy=False)


@jax.jit(static_argnames="distance")
def _scattered(a: Float[Array, "n d"], b: Float[Array, "n d"], distance: str) -> Float[Array, " n"]:
    """The squared distance of each row of one array to the same row of the other."""
    return jnp.sum(jnp.square(normalize_for(a, distance) - normalize_for(b, distance)), axis=1)
