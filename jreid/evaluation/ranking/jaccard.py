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
    near: Neighbors, query: np.ndarray, gallery: np.ndarray, distance: str, k1: int, k2: int
) -> scipy.sparse.csr_array:
    """The codes `[N, N]` float32: Gaussian weights of the expanded k-reciprocal sets (eq. 3 to 7),
    averaged over each image's k2 nearest (eq. 11)."""
    N = len(near.index)
    sets, half = _reciprocal(near, k1 + 1), _reciprocal(near, round(k1 / 2) + 1)
    shared = sets.multiply(sets @ half.T).tocoo()
    i, j = shared.coords
    most = 3 * shared.data > 2 * half.sum(axis=1)[j]
    expanding = _ones(i[most], j[most], N)
    i, j = (sets + expanding @ half).tocoo().coords
    squared, unknown = _known_distances(near, i, j)
    squared[unknown] = _far_distances(query, gallery, distance, i[unknown], j[unknown])
    weight = np.exp(-squared / near.largest[i])
    weight /= np.bincount(i, weight, N)[i]
    codes = scipy.sparse.csr_array((weight.astype(np.float32), (i, j)), (N, N))
    if k2 == 1:
        return codes
    nearest = _ones(np.repeat(np.arange(N), k2), near.index[:, :k2].ravel(), N)
    return scipy.sparse.csr_array(nearest.astype(np.float32) @ codes / np.float32(k2))


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


def _reciprocal(near: Neighbors, k: int) -> scipy.sparse.csr_array:
    """1 if two images are among each other's k nearest (eq. 2), else 0."""
    N = len(near.index)
    forward = _ones(np.repeat(np.arange(N), k), near.index[:, :k].ravel(), N)
    return forward.multiply(forward.T).tocsr()


def _ones(row: np.ndarray, column: np.ndarray, N: int) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array((np.ones(len(row), np.int32), (row, column)), (N, N))


def _known_distances(
    near: Neighbors, i: Int[np.ndarray, " p"], j: Int[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " p"], Int[np.ndarray, " u"]]:
    """Squared distances of pairs, and the pairs that are not neighbors."""
    N, k = near.index.shape
    place = (np.repeat(np.arange(N), k), near.index.ravel())
    number = scipy.sparse.csr_array((np.arange(1, N * k + 1), place), (N, N))[i, j]
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
