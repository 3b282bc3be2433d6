"""CMC, average precision and mINP by counting: a match's rank is how many images lie before it.

`cmc_map` checks and sorts the arrays on the host, `_rank_block` ranks a block of queries on the
device, and integers come back.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from jreid.errors import InputError

CHUNK = 16  # gallery rows compared at once, few enough to stay in the processor's nearest cache

DISTANCES = ("cosine", "euclidean")


class Ranking(NamedTuple):
    """What became of each of Q queries; a query without a match has zeros throughout.

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
        cmc: rank -> share of queries whose first match lies at that rank or before.
        mean_average_precision: mAP.
        mean_inverse_negative_penalty: mINP (Ye et al., TPAMI 2021).
        valid_queries: how many queries have a match.
    """

    cmc: dict[int, float]
    mean_average_precision: float
    mean_inverse_negative_penalty: float
    valid_queries: int


def mean_metrics(ranking: Ranking, ranks: tuple[int, ...] = (1, 5, 10, 20)) -> Metrics:
    """The usual metrics of a ranking, over its valid queries.

    Raises:
        InputError: no query has a match.
    """
    valid = ranking.matches > 0
    if not valid.any():
        raise InputError(
            f"None of the {len(valid)} queries has a match in the gallery, so there is nothing to "
            "average: check the identities and places of queries and gallery."
        )
    return Metrics(
        {rank: float((ranking.rank[valid] <= rank).mean()) for rank in ranks},
        float(ranking.average_precision[valid].mean()),
        float(ranking.inverse_negative_penalty[valid].mean()),
        int(valid.sum()),
    )


def cmc_map(
    query: ArrayLike,
    gallery: ArrayLike,
    query_identities: ArrayLike,
    gallery_identities: ArrayLike,
    query_places: ArrayLike | None = None,
    gallery_places: ArrayLike | None = None,
    gallery_valid: ArrayLike | None = None,
    cmc: str = "identity",
    distance: str = "cosine",
    block: int = 256,
) -> Ranking:
    """Ranks the gallery for every query and measures where the matches lie.

    Exact, whatever the block. Ties rank pessimistically: an image of somebody else at the same
    distance as a match counts as before it. Equal gallery features are at equal distances, and a
    zero feature has cosine distance 1 to everything. Galleries of one padded size and one largest
    number of images an identity share a compile.

    Args:
        query: `[Q, D]` floating-point features.
        gallery: `[G, D]` floating-point features.
        query_identities: `[Q]` integers.
        gallery_identities: `[G]` integers.
        query_places: `[Q]` integers; a query ignores the gallery images of an equal place.
        gallery_places: `[G]` integers, given if and only if `query_places` is.
        gallery_valid: `[G]` booleans; False marks padding, which is not read.
        cmc: `identity` ranks identities by their nearest image (SYSU-MM01's rule), `image` images.
        distance: `cosine` or `euclidean`, in float32.
        block: queries ranked at once; memory grows with block x G.

    Raises:
        InputError: features hold NaN or infinity.
        ValueError: shapes, types or options do not fit.
    """
    if cmc not in ("identity", "image") or distance not in DISTANCES or block < 1:
        raise ValueError(f"cmc={cmc!r}, distance={distance!r}, block={block!r} is not supported.")
    query, gallery = _features(query, "query"), _features(gallery, "gallery")
    Q, G = len(query), len(gallery)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(f"query has {query.shape[1]} dimensions, gallery {gallery.shape[1]}.")
    if (query_places is None) != (gallery_places is None):
        raise ValueError("query_places and gallery_places must be given together.")
    query_identities = _labels(query_identities, "query_identities", Q)
    gallery_identities = _labels(gallery_identities, "gallery_identities", G)
    query_places = _labels(query_places, "query_places", Q, default=0)
    gallery_places = _labels(gallery_places, "gallery_places", G, default=1)
    valid = np.ones(G, bool) if gallery_valid is None else np.asarray(gallery_valid)
    if valid.dtype != bool or valid.shape != (G,) or not valid.any():
        raise ValueError(f"gallery_valid must be {G} booleans, at least one of them True.")
    kept = np.flatnonzero(valid)
    require_finite(query, "query", [f"row {row}" for row in range(Q)])
    require_finite(gallery[kept], "gallery", [f"row {row}" for row in kept])

    order = kept[np.argsort(gallery_identities[kept], kind="stable")]
    sorted_identities = gallery_identities[order]
    # Codes 0, 1, ...: labels may be int64, and integers on the device are 32 bits wide.
    _, places = np.unique(np.append(query_places, gallery_places), return_inverse=True)
    _, codes, images = np.unique(sorted_identities, return_inverse=True, return_counts=True)
    query, gallery = _comparable(query, gallery[order], distance)
    queries = (
        query,
        places[:Q],
        np.searchsorted(sorted_identities, query_identities, side="left"),
        np.searchsorted(sorted_identities, query_identities, side="right"),
    )
    rank_block = functools.partial(
        _rank_block,
        gallery=_put_gallery(gallery, codes, places[Q:][order], distance, _round_up(G, CHUNK)),
        most_matches=_round_up(images.max(), 8),
        identities=_round_up(len(images), 8) if cmc == "identity" else None,
    )
    blocks = []
    for start in range(0, Q, block):
        columns = (_pad(column[start : start + block], block) for column in queries)
        # Fetched one by one, so that only one block's distances are in memory.
        blocks.append(jax.device_get(rank_block(*columns)))
    return _ranking(*(np.concatenate(part)[:Q] for part in zip(*blocks, strict=True)))


def require_finite(features: np.ndarray, role: str, names: Sequence[str] | np.ndarray) -> None:
    """Refuses features `[N, D]` with NaN or infinity, naming the first bad one of `names` `[N]`."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise InputError(
            f"The {role} features hold NaN or infinity in {bad.size} of {len(features)} images, "
            f"the first of them {names[bad[0]]}: a model that diverged cannot be ranked, evaluate "
            "an earlier checkpoint."
        )


class _Gallery(NamedTuple):
    """The gallery on the device: sorted by identity, then padded."""

    features: Float[Array, "g d"]
    half_norm: Float[Array, " g"]  # half the squared norm; 0 under cosine distance
    twin: Int[Array, " g"]  # the first row of the same features
    identity: Int[Array, " g"]  # 0, 1, ...
    place: Int[Array, " g"]  # -1 in padding


@functools.partial(jax.jit, static_argnames=("most_matches", "identities"))
def _rank_block(
    query: Float[Array, "b d"],
    place: Int[Array, " b"],
    first: Int[Array, " b"],
    last: Int[Array, " b"],
    gallery: _Gallery,
    most_matches: int,
    identities: int | None,
) -> tuple[Int[Array, " b"], Int[Array, "b p"], Int[Array, " b"]]:
    """Rank of the first match, ranks of all matches and number of matches, for a block of queries.

    Gallery rows `first` to `last` (exclusive) show the query's identity; at most `most_matches`.
    The gallery runs along the leading axis, so that queries fill the processor's vectors.
    """
    product = jnp.matmul(gallery.features, query.T, precision=jax.lax.Precision.HIGHEST)
    # Up to a constant of the query. A matrix product may round equal rows differently, by the
    # tile that they fall into, so equal rows take one row's distances.
    distance = (gallery.half_norm[:, None] - product)[gallery.twin]
    kept = (gallery.place[:, None] != place[None]) & (gallery.place[:, None] >= 0)

    row, first, last = jnp.arange(len(distance))[:, None], first[None], last[None]
    is_own = (row >= first) & (row < last)
    other = jnp.where(kept & ~is_own, distance, jnp.inf)

    own_row = first + jnp.arange(most_matches)[:, None]
    is_match = (own_row < last) & jnp.take_along_axis(kept, own_row, axis=0)
    match = jnp.where(is_match, jnp.take_along_axis(distance, own_row, axis=0), jnp.inf)
    match = jnp.sort(match, axis=0)

    ranks = jnp.arange(1, most_matches + 1)[:, None] + _count_before(other, match)
    if identities is None:
        rank = ranks[0]
    else:
        nearest = jax.ops.segment_min(other, gallery.identity, identities, indices_are_sorted=True)
        rank = 1 + jnp.sum(nearest <= match[:1], axis=0)
    return rank, ranks.T, jnp.sum(is_match, axis=0)


def _count_before(other: Float[Array, "g b"], match: Float[Array, "p b"]) -> Int[Array, "p b"]:
    """How many of the others lie at a match's distance or nearer."""

    def add(count, chunk):
        return count + jnp.sum(chunk[:, None] <= match[None], axis=0, dtype=jnp.int32), None

    chunks = other.reshape(-1, CHUNK, other.shape[1])
    return jax.lax.scan(add, jnp.zeros(match.shape, jnp.int32), chunks)[0]


def _ranking(rank: np.ndarray, ranks: np.ndarray, matches: np.ndarray) -> Ranking:
    """Precision and penalty from the ranks `[Q, P]` of which each query's first `matches` count."""
    number = np.arange(1, ranks.shape[1] + 1)
    precision = np.where(number <= matches[:, None], number / ranks, 0)
    last = np.take_along_axis(ranks, np.maximum(matches - 1, 0)[:, None], axis=1)[:, 0]
    return Ranking(
        np.where(matches > 0, rank, 0),
        precision.sum(axis=1) / np.maximum(matches, 1),
        matches / last,
        matches,
    )


def _put_gallery(
    features: np.ndarray, identities: np.ndarray, places: np.ndarray, distance: str, size: int
) -> _Gallery:
    """Puts a sorted gallery on the device, padded to `size` rows."""
    first_row: dict[bytes, int] = {}
    twin = np.array([first_row.setdefault(x.tobytes(), row) for row, x in enumerate(features)])
    half_norm = np.sum(np.square(features), axis=1) / 2
    if distance == "cosine":
        half_norm = np.zeros_like(half_norm)
    return _Gallery(
        jnp.asarray(_pad(features, size)),
        jnp.asarray(_pad(half_norm, size)),
        jnp.asarray(_pad(twin, size)),
        jnp.asarray(_pad(identities, size, identities[-1])),
        jnp.asarray(_pad(places, size, -1)),
    )


def _comparable(
    query: np.ndarray, gallery: np.ndarray, distance: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features scaled so that no distance overflows, and to unit norm for cosine distance."""
    if distance == "cosine":
        return _unit(query), _unit(gallery)
    # A power of two changes no digit of the features, and a common one no order.
    exponent = np.frexp(max(np.abs(query).max(), np.abs(gallery).max()))[1]
    # + 0 turns -0.0 into 0.0, so that equal rows are equal bytes.
    return np.ldexp(query, -exponent) + 0, np.ldexp(gallery, -exponent) + 0


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows of unit norm, zero rows left alone. Proportional integers come out as equal rows."""
    largest = np.abs(features).max(axis=1, keepdims=True)
    features = features / np.where(largest == 0, 1, largest)
    norm = np.sqrt(np.sum(np.square(features), axis=1, keepdims=True))
    return features / np.where(norm == 0, 1, norm) + 0


def _features(features: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(features)
    if array.ndim != 2 or 0 in array.shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} is {array.dtype}{list(array.shape)}: it must be a non-empty [N, D] array of "
            "floating-point features."
        )
    with np.errstate(over="ignore"):  # what overflows is refused as infinite
        return array.astype(np.float32)


def _labels(labels: ArrayLike | None, name: str, length: int, default: int = 0) -> np.ndarray:
    """Checks labels; without any, all are the default."""
    if labels is None:
        return np.full(length, default)
    array = np.asarray(labels)
    if array.shape != (length,) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} is {array.dtype}{list(array.shape)}: it must be [{length}] integers."
        )
    return array


def _pad(array: Any, length: int, value: Any = 0) -> np.ndarray:
    """The array with rows of a value added at its end."""
    widths = [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, widths, constant_values=value)


def _round_up(number: int, multiple: int) -> int:
    return -(-int(number) // multiple) * multiple
