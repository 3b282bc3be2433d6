"""CMC, average precision and mINP by counting the images that are nearer than each match."""

import functools
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jreid.errors import InputError
from jreid.evaluation.ranking import counting
from jreid.evaluation.ranking.gallery import TILE, TILES_AT_ONCE, round_up
from jreid.evaluation.ranking.inputs import (
    Labels,
    check_labels,
    check_options,
    check_pair,
    refuse_junk,
    rescale_for_float32,
)
from jreid.evaluation.ranking.queries import CACHED_TILES
from jreid.evaluation.ranking.scores import QueryScores, empty_scores, fill
from jreid.evaluation.ranking.trials import rank_galleries


def cmc_map(
    query: ArrayLike,
    gallery: ArrayLike,
    query_identities: ArrayLike,
    gallery_identities: ArrayLike,
    query_groups: ArrayLike | None = None,
    gallery_groups: ArrayLike | None = None,
    *,
    cmc: str = "identity",
    distance: str = "cosine",
    block: int = 512,
    mesh: Mesh | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> QueryScores:
    """Ranks the gallery for every query and measures the ranks of the matches.

    Exact for every block size. Ties rank pessimistically: an image of another person at the same
    distance as a match counts as before it. Equal gallery features are at equal distances, and a
    zero feature has cosine distance 1 to everything.

    Args:
        query: `[Q, D]` floating-point features, of numpy or jax.
        gallery: `[G, D]` floating-point features.
        query_identities: `[Q]` integers within int64, compared exactly; -1 marks junk images by
            Market-1501's convention and is an error.
        gallery_identities: `[G]` integers, likewise. Distractors have an identity of no query.
        query_groups: `[Q]` integers; a query ignores the gallery images of an equal group.
        gallery_groups: `[G]` integers, given if and only if `query_groups` is.
        cmc: `identity` ranks identities by their nearest image (SYSU-MM01's rule), `image` images.
        distance: `cosine` or `euclidean`, in float32.
        block: queries ranked at once; see `memory`.
        mesh: its devices share the gallery; None: one device holds it.
        progress: called from time to time with the number of finished queries and of all queries.

    Raises:
        InputError: features hold NaN or infinity, or an identity is -1.
        ValueError: shapes, types or options do not fit.

    >>> query, gallery = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
    >>> scores = cmc_map(query, gallery, [7], [8, 9, 7])
    >>> scores.rank, scores.average_precision
    (array([2], dtype=int32), array([0.5]))
    """
    query, gallery = check_pair(query, gallery, distance, block, cmc)
    Q, G = len(query), len(gallery)
    labels = refuse_junk(
        check_labels(query_identities, gallery_identities, query_groups, gallery_groups, Q, G)
    )
    query, gallery = rescale_for_float32([query, gallery], distance)
    trial = np.arange(G)[None]
    options = {"cmc": cmc, "distance": distance, "block": block, "mesh": mesh}
    return rank_galleries(query, gallery, labels, trial, progress=progress, **options)[0]


def memory(Q: int, G: int, D: int, block: int = 512) -> int:
    """An estimate of the bytes that `cmc_map` needs besides its arguments, on all devices together.

    It assumes that identities have fewer images than a tile.
    """
    gallery = (4 * D + 160) * G  # sorted and normalized, and its labels
    preparing = TILES_AT_ONCE * 3 * 4 * D * TILE
    distances = 2 * (CACHED_TILES + 2) * 4 * TILE * block  # two blocks at once
    queries = 2 * 3 * 4 * D * block + 64 * Q
    overhead = 2**26  # compiled code, threads, and the allocator's own memory
    return gallery + preparing + distances + queries + overhead


def score_distances(
    blocks: Iterable[Float[jax.typing.ArrayLike, "b g"]],
    query_identities: ArrayLike,
    gallery_identities: ArrayLike,
    query_groups: ArrayLike | None = None,
    gallery_groups: ArrayLike | None = None,
    *,
    cmc: str = "identity",
) -> QueryScores:
    """Ranks from given distances, in blocks of queries in their order.

    Ties, groups and CMC as in `cmc_map`. Distances on devices stay there.

    Raises:
        InputError: a distance is NaN or infinite, or an identity is -1.
        ValueError: shapes, types or options do not fit.
    """
    check_options(cmc, "cosine", 1)
    Q, G = np.size(query_identities), np.size(gallery_identities)
    labels = refuse_junk(
        check_labels(query_identities, gallery_identities, query_groups, gallery_groups, Q, G)
    )
    return score_blocks(_numbered(blocks, Q, G), labels, cmc)


def score_blocks(
    blocks: Iterable[tuple[slice, Float[jax.typing.ArrayLike, "_ g"]]], labels: Labels, cmc: str
) -> QueryScores:
    """As `score_distances`, of some queries, whose rows come with the distances; else zeros.

    Distances on devices stay there.
    """
    order = np.argsort(labels.gallery_identity, kind="stable")
    identity = labels.gallery_identity[order]
    names, codes = np.unique(identity, return_inverse=True)
    first, last = (np.searchsorted(identity, labels.query_identity, s) for s in ("left", "right"))
    most = round_up(max(1, (last - first).max(initial=0)), counting.CHUNK)
    identities = round_up(len(names), 8) if cmc == "identity" else None
    ranking = empty_scores(len(labels.query_identity))
    for rows, distance in blocks:
        groups = None
        if labels.query_group is not None and labels.gallery_group is not None:
            groups = labels.query_group[rows], labels.gallery_group[order]
        counted = _count(
            distance, order, groups, first[rows], (last - first)[rows], codes, most, identities
        )
        finite, match, counts = jax.device_get(counted)
        if not finite:
            raise InputError(
                f"The distances of queries {rows.start} to {rows.stop - 1} hold NaN or infinity: "
                "check the features that they come from."
            )
        ahead = counts.identities if identities else None
        fill(ranking, np.arange(rows.start, rows.stop), match.T, counts.images.T, ahead)
    return ranking


@functools.partial(jax.jit, static_argnames=("most", "identities"))
def _count(
    distance: Float[Array, "b g"],
    order: Int[Array, " g"],
    groups: tuple[Int[Array, " b"], Int[Array, " g"]] | None,
    first: Int[Array, " b"],
    number: Int[Array, " b"],
    codes: Int[Array, " g"],
    most: int,
    identities: int | None,
) -> tuple[Bool[Array, ""], Float[Array, "p b"], counting.Counts]:
    """Whether all distances are finite, those of the matches, and the counts before them."""
    finite = jnp.isfinite(distance).all()
    distance = distance.T[order]
    if groups is not None:
        distance = jnp.where(groups[0][None] == groups[1][:, None], jnp.inf, distance)
    more = round_up(len(codes), counting.CHUNK) - len(codes)
    distance = jnp.pad(distance, ((0, more), (0, 0)), constant_values=jnp.inf)
    codes = jnp.pad(codes, (0, more), mode="edge")
    match = counting.own_matches(distance, first, number, None, most)
    counts = counting.own_counts(distance, match, codes, identities)
    return finite, match, jax.tree.map(jnp.add, counting.no_counts(match), counts)


def _numbered(
    blocks: Iterable[Float[jax.typing.ArrayLike, "b g"]], Q: int, G: int
) -> Iterator[tuple[slice, Float[jax.typing.ArrayLike, "b g"]]]:
    """The blocks with their rows; ValueError unless they are of Q queries and G images in all."""
    done = 0
    for block in blocks:
        if isinstance(block, jax.Array):
            distance = block.astype(np.float32)
        else:
            distance = np.asarray(block, np.float32)
        rows = slice(done, done + len(distance))
        if distance.shape != (len(distance), G) or rows.stop > Q:
            raise ValueError(f"The distances' blocks are not of {Q} queries and {G} images in all.")
        yield rows, distance
        done = rows.stop
    if done != Q:
        raise ValueError(f"The distances are of {done} queries, not of {Q}.")
