"""Triplets of a batch, by three choices: distance, mining and reduction."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jreid.hoisting import hoistable
from jreid.losses._checks import REDUCTIONS, Margin, checked, choose
from jreid.losses.pairwise import DISTANCES

RELEASED_EPSILON = 1e-6  # of AGW's released code

Pairs = Float[Array, "n m"]
Mask = Bool[Array, "n m"]


def hardest(
    to_positives: Pairs, positive: Mask, to_negatives: Pairs, negative: Mask
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The largest positive and the smallest negative distance of each row; -inf, inf for none."""
    farthest = jnp.where(positive, to_positives, -jnp.inf).max(1)
    return farthest, jnp.where(negative, to_negatives, jnp.inf).min(1)


def weighted(
    to_positives: Pairs, positive: Mask, to_negatives: Pairs, negative: Mask
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The mean distances of each row, weighted by a softmax: far positives and near negatives.

    -inf, inf for none.
    """
    far = (_masked_softmax(to_positives, positive) * to_positives).sum(1)
    near = (_masked_softmax(-to_negatives, negative) * to_negatives).sum(1)
    return (
        jnp.where(positive.any(1), far, -jnp.inf),
        jnp.where(negative.any(1), near, jnp.inf),
    )


def weighted_released(
    to_positives: Pairs, positive: Mask, to_negatives: Pairs, negative: Mask
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """As `weighted`, with the softmax of AGW's released code, see `weighted_triplet`."""
    far = (_released_softmax(to_positives, positive) * to_positives).sum(1)
    return far, (_released_softmax(-to_negatives, negative) * to_negatives).sum(1)


MININGS = {
    "hardest": hardest,
    "weighted": weighted,
    "weighted_released": weighted_released,
}


@checked
def mined_triplet(
    anchors: Float[Array, "n d"],
    identity: Integer[Array, " n"],
    positives: Float[Array, "m d"] | None = None,
    negatives: Float[Array, "m d"] | None = None,
    candidate_identity: Integer[Array, " m"] | None = None,
    *,
    margin: Margin | None = 0.3,
    distance: str = "euclidean",
    mining: str = "hardest",
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Over anchors: max(0, positive distance - negative distance + margin).

    Args:
        anchors: not normalized; any float type, computed in float32.
        identity: class numbers of the anchors.
        positives: candidates for positives; None for the anchors, where each is its own
            positive at distance 0.
        negatives: candidates for negatives; None for the same as the positives.
        candidate_identity: class numbers of the candidates; None for those of the anchors.
        margin: in units of the distance; None for softplus(positive - negative).
        distance: `euclidean` or `cosine`.
        mining: `hardest`, `weighted` or `weighted_released`, see the functions of these names. With
            the first two an anchor costs 0 if it has no positive or no negative.
        reduce: the `mean` over anchors or their `sum`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown option.

    >>> line, identity = jnp.array([[0.0], [1.0], [3.0], [7.0]]), jnp.array([0, 0, 1, 1])
    >>> float(mined_triplet(line, identity, margin=0.5, reduce="sum").round(4))
    2.5
    """
    measure = choose(DISTANCES, distance, "distance")
    mine = choose(MININGS, mining, "mining")
    total = choose(REDUCTIONS, reduce, "reduction")
    if positives is None:
        itself = jnp.eye(len(anchors), dtype=bool)
        to_positives = jnp.where(itself, 0.0, measure(anchors, anchors))
    else:
        to_positives = measure(anchors, positives)
    to_negatives = to_positives if negatives is None else measure(anchors, negatives)
    others = identity if candidate_identity is None else candidate_identity
    same = identity[:, None] == others[None, :]
    if not to_positives.shape == to_negatives.shape == same.shape:
        raise ValueError(
            f"{same.shape[1]} candidate identities do not fit {to_positives.shape[1]} positives "
            f"and {to_negatives.shape[1]} negatives; give candidate_identity, one for each, and as "
            "many positives as negatives"
        )
    positive, negative = mine(to_positives, same, to_negatives, ~same)
    gap = positive - negative
    return total(jax.nn.softplus(gap) if margin is None else jax.nn.relu(gap + hoistable(margin)))


def _released_softmax(scores: Pairs, mask: Mask) -> Pairs:
    """The weights that AGW's released code gives: their sum is below 1, sometimes far below."""
    scores = jnp.where(mask, scores, 0.0)  # so that the largest of negated distances is 0
    exponentials = jnp.where(mask, jnp.exp(scores - scores.max(1, keepdims=True)), 0.0)
    return exponentials / (exponentials.sum(1, keepdims=True) + RELEASED_EPSILON)


def _masked_softmax(scores: Pairs, mask: Mask) -> Pairs:
    """Softmax over each row's masked entries; zeros in a row without any."""
    return jnp.where(mask, jax.nn.softmax(jnp.where(mask, scores, -1e30), axis=1), 0.0)
