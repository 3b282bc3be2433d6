"""Batch-hard triplet losses whose anchors, positives and negatives come from two sets of images."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float, Int

from jreid.losses.modality_triplet import unit_length
from jreid.losses.shapes import checked
from jreid.losses.triplet import euclidean_distances

METRICS = ("cosine", "euclidean")
NEGATIVES = ("other", "generated")

Features = Float[Array, "n d"]
Identity = Int[Array, " n"]


@checked
def set_triplet(
    anchors: Features,
    positives: Features,
    negatives: Features,
    identity: Identity,
    metric: str = "cosine",
    margin: float = 1.0,
) -> Float[Array, ""]:
    """Mean over anchors of max(0, margin + hardest positive - hardest negative).

    PFANet (2022), the L_tri(anchor, positive, negative) of equations 14 and 15; the paper gives
    neither metric nor margin, the defaults are those of AlignGAN's code.

    Args:
        anchors: not normalised, like the others.
        identity: of row i of each of the three sets; two different ones at least, or there is no
            negative and the loss is 0.
        metric: `cosine`, 1 less the similarity, or `euclidean` distance.
        margin: in units of the metric.

    Raises:
        ValueError: an unknown metric.
    """
    positive = identity[:, None] == identity[None, :]
    to_positives = distances(anchors, positives, metric)
    to_negatives = distances(anchors, negatives, metric)
    hardest_positive = jnp.where(positive, to_positives, -jnp.inf).max(1)
    hardest_negative = jnp.where(positive, jnp.inf, to_negatives).min(1)
    return jax.nn.relu(margin + hardest_positive - hardest_negative).mean()


@checked
def generated_triplets(
    generated: Features,
    real: Features,
    identity: Identity,
    metric: str = "cosine",
    margin: float = 1.0,
    negatives: str = "other",
) -> Float[Array, ""]:
    """Sum of `set_triplet` from generated to real images and back: equation 15; half is 14's.

    Args:
        negatives: `other`, the set that the anchor is not in, as AlignGAN's code has it in both
            terms; `generated` as the paper prints them, where the first term takes its negatives
            from its anchors' own set, which is most likely a slip.

    Raises:
        ValueError: an unknown metric or choice of negatives.
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives {negatives!r} are none of {', '.join(NEGATIVES)}")
    first = real if negatives == "other" else generated
    return set_triplet(generated, real, first, identity, metric, margin) + set_triplet(
        real, generated, generated, identity, metric, margin
    )


@checked
def distances(
    left: Float[Array, "n d"], right: Float[Array, "m d"], metric: str
) -> Float[Array, "n m"]:
    """Distances of all pairs by a metric's name, in float32; gradients are finite everywhere."""
    if metric == "euclidean":
        return euclidean_distances(left, right)
    if metric == "cosine":
        return 1 - jnp.matmul(unit_length(left), unit_length(right).T, precision=Precision.HIGHEST)
    raise ValueError(f"metric {metric!r} is none of {', '.join(METRICS)}")
