"""The hetero-center triplet loss: batch-hard between the centres of identities by modality."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float, Int

from jreid.losses.shapes import checked
from jreid.losses.triplet import euclidean_distances


@checked
def hetero_center_triplet(
    features: Float[Array, "n d"],
    identity: Int[Array, " n"],
    modality: Int[Array, " n"],
    margin: float = 0.3,
) -> Float[Array, ""]:
    """Mean over centres of max(0, margin + distance to one's own - distance to the nearest other).

    Liu, Tan and Zhou, Parameter Sharing Exploration and Hetero-Center based Triplet Loss (TMM
    2020), equation 9, as a mean. A centre is the mean of an identity's rows of a modality; its own
    are those of its identity in other modalities, the others those of other identities in any.

    Args:
        features: not normalised, rows in any order.
        identity: class numbers, at least two different ones, or the loss is 0.
        modality: numbers; any number of rows of each, for each identity.
        margin: in units of the features' Euclidean distance.
    """
    features = features.astype(jnp.float32)
    same = identity[:, None] == identity[None, :]
    together = (same & (modality[:, None] == modality[None, :])).astype(jnp.float32)
    count = together.sum(1)
    # Row i is the centre of row i's group: their number need not be known.
    centers = jnp.matmul(together, features, precision=Precision.HIGHEST) / count[:, None]
    centered = centers - centers.mean(0, keepdims=True)  # fewer digits cancel in distances
    distances = euclidean_distances(centered, centered)
    own = jnp.where(same & (together == 0), distances, 0.0).max(1)
    nearest = jnp.where(same, jnp.inf, distances).min(1)
    # A group's rows repeat its centre: together they weigh one.
    return (jax.nn.relu(margin + own - nearest) / count).sum() / (1 / count).sum()
