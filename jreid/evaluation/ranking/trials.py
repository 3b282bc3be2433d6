"""Ranks many trials, sampled from the same images, in one pass over their distances."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from jreid.evaluation.ranking.gallery import put_gallery
from jreid.evaluation.ranking.inputs import Features, Labels, check_labels, one_device
from jreid.evaluation.ranking.queries import RankingInputs, make_trial, rank_queries
from jreid.evaluation.ranking.scores import QueryScores
from jreid.evaluation.ranking.share import ALONE, Share


def rank_trials(
    features: Features,
    identity: Int[np.ndarray, " n"],
    query_rows: Int[np.ndarray, "t q"],
    gallery_rows: Int[np.ndarray, "t g"],
    query_group: Int[np.ndarray, " n"],
    gallery_group: Int[np.ndarray, " n"],
    **options: Any,
) -> list[QueryScores]:
    """Each trial's ranking of its gallery for its queries, by the rules of `cmc_map`.

    Args:
        features: `[N, D]` float32, of numpy or jax, checked and rescaled.
        identity: `[N]`.
        query_rows: rows of the features: each trial's queries.
        gallery_rows: rows of the features: each trial's gallery.
        query_group: query q ignores g where `query_group[q] == gallery_group[g]`.
        gallery_group: `[N]`.
        options: as `rank_galleries`.
    """
    N = len(features)
    labels = check_labels(identity, identity, query_group, gallery_group, N, N)
    queries = np.unique(query_rows)
    groups = None if labels.query_group is None else labels.query_group[queries]
    labels = labels._replace(query_identity=labels.query_identity[queries], query_group=groups)
    galleries, of_trial = np.unique(np.sort(gallery_rows), axis=0, return_inverse=True)
    rankings = rank_galleries(features[queries], features, labels, galleries, **options)
    return [
        QueryScores(*(part[np.searchsorted(queries, rows)] for part in rankings[which]))
        for rows, which in zip(query_rows, of_trial.reshape(-1), strict=True)
    ]


def rank_galleries(
    query: Features,
    images: Features,
    labels: Labels,
    galleries: Int[np.ndarray, "t g"],
    *,
    cmc: str = "identity",
    distance: str = "cosine",
    block: int = 512,
    mesh: Mesh | None = None,
    progress: Callable[[int, int], None] | None = None,
    share: Share = ALONE,
) -> list[QueryScores]:
    """The ranking of each gallery for all queries, by the rules of `cmc_map`.

    An image's distances are computed once, even if many galleries contain it.

    Args:
        query: `[Q, D]` float32, checked and rescaled.
        images: `[N, D]` likewise.
        labels: of the queries and of all N images.
        galleries: ascending rows of the images.
        cmc, distance, block, mesh, progress: as in `cmc_map`.
        share: which queries are ranked; the scores of the others are 0.
    """
    mesh = mesh or one_device(images)
    rows = np.unique(galleries)
    order = rows[np.argsort(labels.gallery_identity[rows], kind="stable")]
    identity = labels.gallery_identity[order]
    group = None if labels.gallery_group is None else labels.gallery_group[order]
    gallery = put_gallery(images, order, identity, group, distance, mesh)
    position = np.zeros(len(images), int)
    position[order] = np.arange(len(order))
    trials = [
        make_trial(
            gallery.partition,
            identity,
            None if len(some) == len(order) else np.sort(position[some]),
            labels.query_identity,
            mesh,
        )
        for some in galleries
    ]
    identities = gallery.partition.identities if cmc == "identity" else None
    inputs = RankingInputs(query, labels.query_group, gallery, trials, distance, identities, mesh)
    return rank_queries(inputs, block, share, progress)
