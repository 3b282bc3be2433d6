"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) and its cross-modality kinds; exact, sparse."""

import functools
from collections.abc import Iterator

import jax
import numpy as np
import scipy.sparse
from jax.sharding import Mesh
from jaxtyping import Float
from numpy.typing import ArrayLike

from jreid.errors import InputError
from jreid.evaluation.ranking.codes import domains, relative_to
from jreid.evaluation.ranking.distance_tiles import (
    CACHED_DISTANCES,
    PREFETCHED_TILES,
    find_neighbors,
    put_blocks,
    query_gallery_tiles,
)
from jreid.evaluation.ranking.inputs import Features, check_pair, one_device, rescale_for_float32
from jreid.evaluation.ranking.jaccard import SHARED, shared_weight
from jreid.evaluation.ranking.rerank_on_device import rerank_on_device
from jreid.evaluation.ranking.rerank_options import (
    AMONG_QUERIES,
    BY_SIDE,
    STANDARD,
    Rerank,
    rerank_fault,
)
from jreid.evaluation.ranking.share import ALONE, Share


def rerank(
    query: ArrayLike,
    gallery: ArrayLike,
    rerank: Rerank = STANDARD,
    *,
    distance: str = "cosine",
    block: int = 1024,
    mesh: Mesh | None = None,
    on_device: bool | None = None,
) -> Float[np.ndarray, "q g"]:
    """The re-ranked distances `[Q, G]` float32, as from `rerank_blocks`.

    >>> query, gallery = np.array([[0.0], [100.0]]), np.array([[1.0], [101.0]])
    >>> rerank(query, gallery, Rerank(k1=1, k2=1), distance="euclidean").round(1).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    options = {"distance": distance, "block": block, "mesh": mesh, "on_device": on_device}
    blocks = rerank_blocks(query, gallery, rerank, **options)
    result = np.empty((np.shape(query)[0], np.shape(gallery)[0]), np.float32)
    done = 0
    for part in blocks:
        result[done : done + len(part)] = part
        done += len(part)
    return result


def rerank_blocks(
    query: ArrayLike,
    gallery: ArrayLike,
    rerank: Rerank = STANDARD,
    *,
    distance: str = "cosine",
    block: int = 1024,
    mesh: Mesh | None = None,
    on_device: bool | None = None,
) -> Iterator[Float[np.ndarray, "b g"]]:
    """Re-ranked distances (1 - lambda) Jaccard + lambda d, by blocks of queries in their order.

    As the Python code of Zhong et al. ("Re-ranking Person Re-identification with k-reciprocal
    Encoding", CVPR 2017): d is the squared Euclidean distance divided by the query's largest to any
    image, and the Jaccard distance compares codes over the expanded k-reciprocal neighbors; with N
    = Q + G images, all `[N, N]` arrays are sparse. Weights are float32; the code of MPANet and IDKL
    has float16. Images at equal float32 distance are neighbors in the order of queries, then
    gallery; but each image is its own nearest, also if others equal it. A distance below the
    rounding error of a float32 product counts as 0.

    The kinds `extended`, `constrained` and `divided` are those of CMKR (YYDS, arXiv 2403.04183, and
    its released code), which find other neighbors; lambda and d are the same in all of them.
    `extended` adds to each image's set those of the other side that are reciprocal when only this
    side is looked at. `constrained` is the mean of two Jaccard distances: over neighbors in the
    gallery, and over neighbors among the queries. What the released code calls `divided` has
    neighbors among the queries only, so that it is `query_only` but for the scale of its weights.
    `k3` is MA-LQE: codes are averaged over the k2 - k3 nearest queries and the k3 nearest gallery
    images. With lambda = 0, gallery images that share no neighbor with a query are all at distance
    1, and such ties count against the model.

    Args:
        query: `[Q, D]` floating-point features, of numpy or jax.
        gallery: `[G, D]` floating-point features.
        rerank: the kind and its parameters.
        distance: `cosine`: of the features divided by their L2 norm; `euclidean`: as they are.
        block: the most images of a side that are compared at once; see `rerank_memory`.
        mesh: its devices share the work, each with all features; None: one device does all.
        on_device: whether the devices find neighbors and compute codes, too, instead of numpy and
            scipy; None: yes, but on CPUs, which are slower that way.

    Returns:
        `[b, G]` float32 each, b at most `block`.

    Raises:
        InputError: features hold NaN or infinity, the kind is unknown, there are too few images
            for k1, or k2 or the weight is out of its range.
        ValueError: shapes, types or options do not fit.

    >>> query, gallery = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> [block.shape for block in rerank_blocks(query, gallery, Rerank(k1=3, k2=2), block=4)]
    [(3, 5), (2, 5)]
    """
    query, gallery = check_pair(query, gallery, distance, block)
    require_possible(rerank, len(query), len(gallery))
    query, gallery = rescale_for_float32([query, gallery], distance)
    blocks = rerank_checked(
        query, gallery, rerank, distance, mesh, block=block, on_device=on_device
    )
    return (np.asarray(part) for _, part in blocks)


def rerank_memory(Q: int, G: int, D: int, rerank: Rerank, block: int = 1024) -> int:
    """An estimate of the bytes that `rerank_blocks` needs besides its arguments, on one device.

    It assumes codes of up to k1 k2 entries.
    """
    features = 4 * D * (Q + G + 4 * block)
    tiles = (
        4 * min(Q * G, CACHED_DISTANCES)
        + 4 * 2 * PREFETCHED_TILES * block**2
        + 24 * min(block, Q) * G
    )
    lists = 2 if _needs_both_sides(rerank) else 1  # of neighbors, and so of entries of codes
    codes = (Q + G) * lists * (64 * (rerank.k1 + 1) + 32 * rerank.k1 * rerank.k2)
    compiled = 2**25
    return features + tiles + codes + 64 * SHARED + compiled


def require_possible(rerank: Rerank, Q: int, G: int, mixed: bool = False) -> None:
    """Raises InputError if a re-ranking cannot be used; arguments as in `rerank_fault`."""
    fault = rerank_fault(rerank, Q, G, mixed)
    if fault:
        parameter, why = fault
        raise InputError(f"The re-ranking is {rerank}, but {parameter} cannot be used: {why}.")


def rerank_checked(
    query: Features,
    gallery: Features,
    rerank: Rerank,
    distance: str,
    mesh: Mesh | None,
    share: Share = ALONE,
    block: int = 1024,
    on_device: bool | None = None,
) -> Iterator[tuple[slice, Float[jax.typing.ArrayLike, "b g"]]]:
    """As `rerank_blocks`, for features that are checked and rescaled, and a possible re-ranking.

    Yields the blocks of this process's queries, with their rows; where `on_device`, as jax arrays.
    """
    mesh = mesh or one_device(gallery)
    if on_device is None:
        on_device = mesh.devices.flat[0].platform != "cpu"
    form = rerank_on_device if on_device else _rerank_on_host
    return form(query, gallery, rerank, distance, mesh, share, block)


def _rerank_on_host(
    query: Features,
    gallery: Features,
    rerank: Rerank,
    distance: str,
    mesh: Mesh,
    share: Share,
    block: int,
) -> Iterator[tuple[slice, Float[np.ndarray, "b g"]]]:
    """As `rerank_checked`; the devices compute distances only."""
    Q, G = len(query), len(gallery)
    queries = put_blocks(query, 0, distance, block, mesh)
    images = put_blocks(gallery, Q, distance, block, mesh)
    if _needs_both_sides(rerank):
        candidates = [queries, images]
    else:
        candidates = [queries if rerank.kind in AMONG_QUERIES else queries + images]
    found = find_neighbors(queries, images, rerank.k1 + 1, candidates, share)
    largest = relative_to(found.farthest.max(axis=0))
    sides = np.asarray(query), np.asarray(gallery)
    codes = [(one, one[Q:].tocsc()) for one in domains(rerank, found, sides, distance)]
    own = share.own(queries)
    tiles = query_gallery_tiles(own, images, found.kept)
    for a in own:
        parts = [_overlap(code[a.rows], inverted, G) for code, inverted in codes]
        result = functools.reduce(np.add, parts)
        result *= (rerank.weight - 1) / len(codes)
        result += 1 - rerank.weight
        scale = np.float32(rerank.weight) / largest[a.rows, None]
        for b in images:
            result[:, b.rows.start - Q : b.rows.stop - Q] += scale * next(tiles)
        yield a.rows, result


def _needs_both_sides(rerank: Rerank) -> bool:
    """Whether neighbors are sought among the queries and among the gallery apart."""
    return rerank.kind in (*BY_SIDE, "extended") or rerank.k3 is not None


def _overlap(
    codes: scipy.sparse.csr_array, inverted: scipy.sparse.csc_array, G: int
) -> Float[np.ndarray, "b g"]:
    """1 less the Jaccard distance: the shared weight of the union of both codes."""
    shared = shared_weight(codes, inverted, G)
    return np.divide(shared, 2 - shared, out=shared)
