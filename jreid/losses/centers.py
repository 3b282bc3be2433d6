"""Losses on the centers of identities: center-cluster, and hetero-center triplets."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Integer

from jreid.hoisting import hoistable
from jreid.losses._checks import Margin, checked
from jreid.losses.mining import hardest
from jreid.losses.pairwise import MIN_SQUARED_DISTANCE, euclidean_distances


@checked
def center_cluster(
    features: Float[Array, "n d"],
    identity: Integer[Array, " n"],
    margin: Margin = 0.7,
    groups: int = 1,
) -> Float[Array, ""]:
    """Mean distance of features to the center of their identity, plus a hinge between centers.

    PFINet (CVM 2022), equation 9, with its indices corrected: mean over rows of ||f - h|| plus mean
    over pairs of identities of max(0, margin - ||h_k - h_j||), where h is the mean of all rows of
    an identity. Gradients flow through the centers, and are finite where points coincide. The paper
    does not give the margin; the default is that of the code of MPANet and PFINet.

    Args:
        features: not normalized, of all modalities, in any order.
        identity: class numbers; any number of rows each. With a single identity there is no hinge.
        margin: in units of the features' Euclidean distance.
        groups: the rows are cut into this many equal parts in their order; the loss is the sum of
            the parts' losses. 2 is what training on two devices did in the released code.

    Raises:
        ValueError: arrays that do not fit their annotations, or rows that do not divide into
            `groups`.

    >>> features = jnp.array([[-1.0], [1.0], [4.0], [4.0]])
    >>> float(center_cluster(features, jnp.array([0, 0, 1, 1]), margin=5.0).round(4))
    1.5
    """
    if len(features) % groups:
        raise ValueError(f"{len(features)} rows do not make {groups} groups")
    features = features.astype(jnp.float32).reshape(groups, -1, features.shape[-1])
    parts = jax.vmap(_one_group, (0, 0, None))(features, identity.reshape(groups, -1), margin)
    return parts.sum()


def _one_group(
    features: Float[Array, "n d"], identity: Integer[Array, " n"], margin: Margin
) -> Float[Array, ""]:
    same = identity[:, None] == identity[None, :]
    centers, count = _centers(features, same)
    squares = ((features - centers) ** 2).sum(1)
    to_center = jnp.sqrt(jnp.maximum(squares, MIN_SQUARED_DISTANCE)).mean()
    hinge = jax.nn.relu(hoistable(margin) - _distances_among(centers))
    # Each row repeats the center of its identity, so the rows of an identity share a weight of one.
    weight = (1 - same.astype(jnp.float32)) / (count[:, None] * count[None, :])
    return to_center + (weight * hinge).sum() / jnp.maximum(weight.sum(), 1.0)


@checked
def hetero_center_triplet(
    features: Float[Array, "n d"],
    identity: Integer[Array, " n"],
    modality: Integer[Array, " n"],
    margin: Margin = 0.3,
) -> Float[Array, ""]:
    """Mean over centers of max(0, distance to its own - distance to the nearest other + margin).

    Liu, Tan and Zhou, Parameter Sharing Exploration and Hetero-Center based Triplet Loss (TMM
    2020), equation 9, as a mean. A center is the mean of the rows of one identity and modality. Its
    own centers are those of its identity in other modalities; the others are those of other
    identities in any modality.

    Args:
        features: not normalized, rows in any order.
        identity: class numbers; the loss is 0 unless there are at least two different ones.
        modality: numbers; each identity may have any number of rows of each modality.
        margin: in units of the features' Euclidean distance.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = jnp.array([[1.0], [3.0], [4.0], [10.0]])
    >>> identity, modality = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1])
    >>> float(hetero_center_triplet(features, identity, modality, margin=0.5).round(4))
    1.75
    """
    same = identity[:, None] == identity[None, :]
    together = same & (modality[:, None] == modality[None, :])
    centers, count = _centers(features.astype(jnp.float32), together)
    distances = _distances_among(centers)
    own, nearest = hardest(distances, same & ~together, distances, ~same)
    # An identity of one modality has no other center of its own: the distance to it counts as 0.
    hinge = jax.nn.relu(jnp.maximum(own, 0.0) - nearest + hoistable(margin))
    # Each row repeats the center of its group, so the rows of a group share a weight of one.
    return (hinge / count).sum() / (1 / count).sum()


def _centers(
    features: Float[Array, "n d"], same: Bool[Array, "n n"]
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """For each row the center of its group and the group's size; the number of groups is free."""
    members = same.astype(jnp.float32)
    count = members.sum(1)
    return jnp.matmul(members, features, precision=Precision.HIGHEST) / count[:, None], count


def _distances_among(centers: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """Distances of all pairs. Subtracting the mean first makes them more exact in float32."""
    centered = centers - centers.mean(0, keepdims=True)
    return euclidean_distances(centered, centered)
