"""Triplet losses over all pairs of a batch: batch-hard, and AGW's weighted regularised form."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Int

from jreid.losses.shapes import checked

# Below it a squared distance is rounding, and the square root's gradient would be infinite.
SMALLEST_SQUARE = 1e-12

TRIPLETS = ("batch_hard", "weighted_regularized")


@checked
def euclidean_distances(
    left: Float[Array, "n d"], right: Float[Array, "m d"]
) -> Float[Array, "n m"]:
    """Euclidean distances in float32, at least 1e-6, with finite gradients at coincident points."""
    left, right = left.astype(jnp.float32), right.astype(jnp.float32)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :]
    squares -= 2 * jnp.matmul(left, right.T, precision=Precision.HIGHEST)
    return jnp.sqrt(jnp.maximum(squares, SMALLEST_SQUARE))


@checked
def batch_hard_triplet(
    features: Float[Array, "n d"], identity: Int[Array, " n"], margin: float = 0.3
) -> Float[Array, ""]:
    """Mean over anchors of max(0, hardest positive - hardest negative + margin).

    Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017, equation 5. Positives include
    the anchor, which is never the hardest unless it is alone.

    Args:
        features: not normalised; every row is a candidate, whatever its modality.
        identity: at least two different ones, or there is no negative and the loss is 0.
        margin: in units of the features' Euclidean distance.
    """
    distances = _distances_among(features)
    positive = _same(identity)
    hardest_positive = jnp.where(positive, distances, 0.0).max(1)
    hardest_negative = jnp.where(positive, jnp.inf, distances).min(1)
    return jax.nn.relu(hardest_positive - hardest_negative + margin).mean()


@checked
def weighted_triplet(features: Float[Array, "n d"], identity: Int[Array, " n"]) -> Float[Array, ""]:
    """AGW's weighted regularised triplet loss.

    Mean over anchors of softplus(weighted positive distance - weighted negative distance), the
    weights a softmax of the distances over the positives and of their negation over the negatives
    (Ye et al., TPAMI 2021, equations 5 and 6). The anchor counts among its own positives, as in
    the released code. That code adds 1e-6 to the softmax's denominator after shifting by zero, so
    its negative term vanishes beyond a distance of about 13; this is the formula, at any distance.
    """
    distances = _distances_among(features)
    positive = _same(identity)
    far = (_masked_softmax(distances, positive) * distances).sum(1)
    near = (_masked_softmax(-distances, ~positive) * distances).sum(1)
    return jax.nn.softplus(far - near).mean()


def triplet(
    kind: str, features: Float[Array, "n d"], identity: Int[Array, " n"], margin: float
) -> Float[Array, ""]:
    """The triplet loss of this name, one of `TRIPLETS`; `margin` is batch-hard's alone."""
    if kind == "batch_hard":
        return batch_hard_triplet(features, identity, margin)
    if kind == "weighted_regularized":
        return weighted_triplet(features, identity)
    raise ValueError(f"triplet loss {kind!r} is none of {', '.join(TRIPLETS)}")


def _distances_among(features: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """Distances of all pairs of rows; a row's distance to itself is 0, not rounding."""
    itself = jnp.eye(len(features), dtype=bool)
    return jnp.where(itself, 0.0, euclidean_distances(features, features))


def _same(identity: Int[Array, " n"]) -> Bool[Array, "n n"]:
    return identity[:, None] == identity[None, :]


def _masked_softmax(scores: Float[Array, "n m"], mask: Bool[Array, "n m"]) -> Float[Array, "n m"]:
    """Softmax over each row's masked entries; zeros in a row without any."""
    return jnp.where(mask, jax.nn.softmax(jnp.where(mask, scores, -1e30), axis=1), 0.0)
