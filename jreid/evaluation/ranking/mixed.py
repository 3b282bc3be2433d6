"""Measures of a gallery of both modalities that no other gallery has.

Cross-modality mAP: the mAP of the matches of the other modality. Matches of the queries' own
modality are left out, neither hits nor errors; other people's images of this modality stay.
Confusion: the share of queries whose first gallery image is of their own modality and shows
somebody else.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from jreid.evaluation.ranking.scores import QueryScores


class MixedScores(NamedTuple):
    """The scores of each of Q queries.

    Attributes:
        cross_precision: `[Q]` average precision over the matches of the other modality; NaN without
            such a match.
        confused: `[Q]` whether the first gallery image is of the query's modality and of somebody
            else.
    """

    cross_precision: Float[np.ndarray, " q"]
    confused: Bool[np.ndarray, " q"]


def score_mixed(
    distance: Float[np.ndarray, "b g"],
    match: Bool[np.ndarray, "b g"],
    skipped: Bool[np.ndarray, "b g"],
    own: Bool[np.ndarray, " g"],
) -> MixedScores:
    """The scores of some queries; at equal distance, a wrong image comes first.

    Args:
        distance: of the queries to the gallery.
        match: whether both show one identity.
        skipped: whether the query skips the image.
        own: whether the image is of the queries' modality.
    """
    distance = np.where(skipped, np.inf, distance.astype(np.float64))
    first = distance.min(axis=1, keepdims=True)
    confused = ((distance == first) & ~match & own & np.isfinite(first)).any(axis=1)
    hit = match & ~own & ~skipped
    distance = np.where(match & own, np.inf, distance)
    distance = np.where(hit, np.nextafter(distance, np.inf), distance)  # behind wrong ones
    order = np.argsort(distance, axis=1)
    hit = np.take_along_axis(hit, order, axis=1)
    number = hit.sum(axis=1)
    precision = np.where(hit, hit.cumsum(axis=1) / np.arange(1, 1 + hit.shape[1]), 0).sum(axis=1)
    return MixedScores(np.where(number, precision / np.maximum(number, 1), np.nan), confused)


def watch(
    blocks: Iterator[tuple[slice, Float[jax.typing.ArrayLike, "b g"]]],
    labels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    own: Bool[np.ndarray, " g"],
    found: MixedScores,
) -> Iterator[tuple[slice, Float[jax.typing.ArrayLike, "b g"]]]:
    """Passes blocks of distances on, and writes the scores of their queries.

    Args:
        labels: identities of queries and gallery, and their groups, of which equal ones are
            skipped.
        own: as in `score_mixed`.
        found: the scores of all queries.
    """
    query_identity, identity, query_group, group = labels
    for rows, block in blocks:
        match = query_identity[rows, None] == identity
        scores = score_mixed(np.asarray(block), match, query_group[rows, None] == group, own)
        for all_, some in zip(found, scores, strict=True):
            all_[rows] = some
        yield rows, block


def empty_mixed(queries: int) -> MixedScores:
    """Scores to write to."""
    return MixedScores(np.zeros(queries), np.zeros(queries, bool))


def mean_mixed(trials: list[tuple[QueryScores, MixedScores]]) -> dict[str, Any]:
    """Means over the trials of the means over the queries with a match, and their deviations.

    `cross_modality_mAP` is None if no gallery has a match of the other modality.
    """
    cross, confusion = [], []
    for ranking, (precision, confused) in trials:
        there = np.isfinite(precision)
        cross += [precision[there].mean()] if there.any() else []
        confusion.append(confused[ranking.matches > 0].mean())
    return {
        name: {"mean": float(np.mean(values)), "std": float(np.std(values))} if values else None
        for name, values in (("cross_modality_mAP", cross), ("confusion", confusion))
    }
