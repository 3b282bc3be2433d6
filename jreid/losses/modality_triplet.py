"""Batch-hard triplet losses between and within any set of modalities (Base-Derivative)."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jreid.losses.shapes import checked
from jreid.losses.triplet import SMALLEST_SQUARE, batch_hard_triplet, euclidean_distances

REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


@checked
def cross_modality_triplet(
    anchors: Float[Array, "n d"],
    candidates: Float[Array, "m d"],
    anchor_identity: Int[Array, " n"],
    candidate_identity: Int[Array, " m"],
    margin: float = 0.5,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Over anchors of one modality: max(0, margin + hardest positive - hardest negative).

    Positives and negatives are all of another modality. Liu et al., Base-Derivative Framework (ICPR
    2020), equations 3 to 5, where equation 5 is read as meant: as printed, its product with a mask
    leaves zeros at the positives, so that the nearest "negative" would always be at distance 0.

    Args:
        anchors: not normalised.
        candidates: likewise. An anchor that has no positive or no negative among them costs 0.
        anchor_identity: class numbers.
        candidate_identity: likewise.
        margin: in units of the features' Euclidean distance.
        reduce: `sum` over anchors, as equation 4 has it, or their `mean`.

    Raises:
        ValueError: an unknown `reduce`.
    """
    _check(reduce)
    distances = euclidean_distances(anchors, candidates)
    positive = anchor_identity[:, None] == candidate_identity[None, :]
    hardest_positive = jnp.where(positive, distances, -jnp.inf).max(1)
    hardest_negative = jnp.where(positive, jnp.inf, distances).min(1)
    return REDUCTIONS[reduce](jax.nn.relu(margin + hardest_positive - hardest_negative))


def multi_directional_triplet(
    features: Mapping[str, Float[Array, "_ d"]],
    identity: Mapping[str, Int[Array, " _"]],
    pairs: Iterable[tuple[str, str]],
    margin: float = 0.5,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Sum over pairs of modalities of `cross_modality_triplet` from each to the other.

    Equation 2 of the same paper.

    Args:
        features: by modality, not normalised.
        identity: by modality, of the rows of its features.
        pairs: of different modalities; their order within a pair means nothing.
        margin: as `cross_modality_triplet`.
        reduce: as `cross_modality_triplet`, of each direction.
    """
    directions = [direction for a, b in pairs for direction in ((a, b), (b, a))]
    terms = [
        cross_modality_triplet(features[a], features[b], identity[a], identity[b], margin, reduce)
        for a, b in directions
    ]
    return sum(terms, start=jnp.zeros(()))


def multi_mode_triplet(
    features: Mapping[str, Float[Array, "_ d"]],
    identity: Mapping[str, Int[Array, " _"]],
    margin: float = 0.3,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Sum over modalities of the batch-hard triplet loss within each.

    Equations 6 and 7 of the same paper; the arguments are those of `multi_directional_triplet`.

    Raises:
        ValueError: an unknown `reduce`.
    """
    _check(reduce)
    terms = [
        batch_hard_triplet(values, identity[name], margin) * (len(values) if reduce == "sum" else 1)
        for name, values in features.items()
    ]
    return sum(terms, start=jnp.zeros(()))


@checked
def unit_length(features: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each row over its Euclidean length, in float32; zeros stay, and their gradient is finite."""
    features = features.astype(jnp.float32)
    squares = (features**2).sum(1, keepdims=True)
    return features * jax.lax.rsqrt(jnp.maximum(squares, SMALLEST_SQUARE))


def _check(reduce: str) -> None:
    if reduce not in REDUCTIONS:
        raise ValueError(f"triplets are reduced by {' or '.join(REDUCTIONS)}, not by {reduce!r}")
