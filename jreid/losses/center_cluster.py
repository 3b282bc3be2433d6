"""The center-cluster loss of MPANet and PFINet: to one's own centre, away from the others'."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float, Int

from jreid.losses.shapes import checked
from jreid.losses.triplet import SMALLEST_SQUARE, euclidean_distances


@checked
def center_cluster(
    features: Float[Array, "n d"], identity: Int[Array, " n"], margin: float = 0.7, groups: int = 1
) -> Float[Array, ""]:
    """Mean distance of features to their identity's centre, and a hinge between the centres.

    PFINet (CVM 2022), equation 9, with its indices as meant: mean over rows of ||f - h|| plus mean
    over pairs of identities of max(0, margin - ||h_k - h_j||), where h is the mean of all rows of
    an identity. Gradients flow through the centres, and are finite where points coincide. The
    margin, which the paper does not give, is that of the code of MPANet and PFINet.

    Args:
        features: not normalised, of all modalities, in any order.
        identity: class numbers; any number of rows each. With a single one there is no hinge.
        margin: in units of the features' Euclidean distance.
        groups: the rows are cut into so many equal parts in their order; the loss is the sum of
            each part's own. 2 is what training on two devices did in the released code.

    Raises:
        ValueError: the rows do not make so many groups.
    """
    if len(features) % groups:
        raise ValueError(f"{len(features)} rows do not make {groups} groups")
    features = features.astype(jnp.float32).reshape(groups, -1, features.shape[-1])
    parts = jax.vmap(_one_group, (0, 0, None))(features, identity.reshape(groups, -1), margin)
    return parts.sum()


def _one_group(features: Array, identity: Array, margin: float) -> Array:
    same = (identity[:, None] == identity[None, :]).astype(jnp.float32)
    count = same.sum(1)
    # Row i is the centre of row i's identity: their number need not be known.
    centers = jnp.matmul(same, features, precision=Precision.HIGHEST) / count[:, None]
    squares = ((features - centers) ** 2).sum(1)
    to_center = jnp.sqrt(jnp.maximum(squares, SMALLEST_SQUARE)).mean()
    # Distances do not change, but fewer digits cancel in them.
    centered = centers - centers.mean(0, keepdims=True)
    hinge = jax.nn.relu(margin - euclidean_distances(centered, centered))
    # An identity's rows repeat its centre: together they weigh one.
    weight = (1 - same) / (count[:, None] * count[None, :])
    return to_center + (weight * hinge).sum() / jnp.maximum(weight.sum(), 1.0)
