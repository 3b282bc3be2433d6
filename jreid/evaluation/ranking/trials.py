"""Many trials drawn from the same images, ranked in one pass over their distances."""

from collections.abc import Callable

import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from jreid.evaluation.ranking.gallery import put_gallery
from jreid.evaluation.ranking.inputs import (
    check_features,
    check_finite,
    check_labels,
    check_options,
    one_device,
    rescale_for_float32,
)
from jreid.evaluation.ranking.queries import RankingInputs, make_trial, rank_queries
from jreid.evaluation.ranking.scores import QueryScores


def rank_trials(
    features: Float[ArrayLike, "n d"],
    identity: Int[ArrayLike, " n"],
    query_rows: Int[np.ndarray, "t q"],
    gallery_rows: Int[np.ndarray, "t g"],
    query_group: Int[ArrayLike, " n"],
    gallery_group: Int[ArrayLike, " n"],
    *,
    cmc: str = "identity",
    distance: str = "cosine",
    block: int = 512,
    mesh: Mesh | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[QueryScores]:
    """Each trial's ranking of its gallery for its queries, by the rules of `cmc_map`.

    An image's distances are computed once, however many trials draw it.

    Args:
        features: `[N, D]` floating-point features, of numpy or jax.
        identity: `[N]` integers.
        query_rows: `[T, Q]` rows of the features: each trial's queries.
        gallery_rows: `[T, G]` rows of the features: each trial's gallery.
        query_group: `[N]` integers: query q ignores g where `query_group[q] == gallery_group[g]`.
        gallery_group: `[N]` integers.
        cmc, distance, block, mesh, progress: as in `cmc_map`.

    Raises:
        InputError: features hold NaN or infinity.
        ValueError: shapes, types or options do not fit, or a row is not one of the features.
    """
    check_options(cmc, distance, block)
    features = check_features(features, "features")
    N = len(features)
    query_rows, gallery_rows = (np.asarray(rows) for rows in (query_rows, gallery_rows))
    for rows, name in ((query_rows, "query_rows"), (gallery_rows, "gallery_rows")):
        if rows.ndim != 2 or 0 in rows.shape or rows.min() < 0 or rows.max() >= N:
            raise ValueError(f"{name} is {list(rows.shape)}: it must be [T, n] rows below {N}.")
    if len(query_rows) != len(gallery_rows):
        raise ValueError(f"{len(query_rows)} trials have queries, {len(gallery_rows)} galleries.")
    labels = check_labels(identity, identity, query_group, gallery_group, N, N)
    queries = np.unique(query_rows)
    images = np.unique(gallery_rows)
    features = check_finite(features, {"query": queries, "gallery": images})
    [features] = rescale_for_float32([features], distance)
    mesh = mesh or one_device(features)

    order = images[np.argsort(labels.gallery_identity[images], kind="stable")]
    group = None if labels.gallery_group is None else labels.gallery_group[order]
    ordered_identity = labels.gallery_identity[order]
    gallery = put_gallery(features, order, ordered_identity, group, distance, mesh)
    position = np.zeros(N, int)
    position[order] = np.arange(len(order))
    galleries, of_trial = np.unique(np.sort(position[gallery_rows]), axis=0, return_inverse=True)
    trials = [
        make_trial(gallery.partition, ordered_identity, row, labels.query_identity[queries], mesh)
        for row in galleries
    ]
    groups = None if labels.query_group is None else labels.query_group[queries]
    identities = gallery.partition.identities if cmc == "identity" else None
    inputs = RankingInputs(features[queries], groups, gallery, trials, distance, identities, mesh)
    rankings = rank_queries(inputs, block, progress)
    return [
        QueryScores(*(part[np.searchsorted(queries, rows)] for part in rankings[which]))
        for rows, which in zip(query_rows, of_trial.reshape(-1), strict=True)
    ]
