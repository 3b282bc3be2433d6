"""The two losses of IDKL's information purifier, for more identity and less modality.

Ren and Zhang, Implicit Discriminative Knowledge Learning (CVPR 2024), equations 10 and 11. Both
compare a quantity of the masked features with the same quantity of the features before masking. The
hinge is `softplus` of the difference, as in the paper, or `relu`, as in the released code.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.hoisting import hoistable
from jreid.losses._checks import checked, choose
from jreid.losses.pairwise import MIN_SQUARED_DISTANCE

HINGES = {"softplus": jax.nn.softplus, "relu": jax.nn.relu}


@checked
def entropy(logits: Float[Array, "n classes"]) -> Float[Array, " n"]:
    """The entropy of each row's softmax in nats.

    Args:
        logits: any float type; computed in float32.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> logits = jnp.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -99.0, -99.0]])
    >>> jnp.exp(entropy(logits)).round(4).tolist()
    [4.0, 2.0]
    """
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -(jnp.exp(log_probability) * log_probability).sum(1)


@checked
def entropy_margin(
    enhanced: Float[Array, "n classes"], before: Float[Array, "n classes"], hinge: str = "softplus"
) -> Float[Array, ""]:
    """The discrimination enhancing loss L_e (equation 10): enhanced features have less entropy.

    Mean over rows of softplus(h(enhanced) - h(before)), where h is the `entropy`, or, with the
    hinge `relu`, of exp(relu(h(enhanced) - h(before))) - 1, as in the released code.

    Args:
        enhanced: identity logits of the enhanced features; any float type, computed in float32.
        before: identity logits of the features before masking.
        hinge: `softplus` or `relu`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown hinge.

    >>> even, sure = jnp.zeros((1, 4)), jnp.array([[99.0, 0.0, 0.0, 0.0]])
    >>> float(entropy_margin(even, sure, "relu").round(4))  # exp(log 4 - 0) - 1
    3.0
    """
    excess = choose(HINGES, hinge, "hinge")(entropy(enhanced) - entropy(before))
    return (jnp.expm1(excess) if hinge == "relu" else excess).mean()


@checked
def modality_centroid_distance(
    visible: Float[Array, "n d"],
    infrared: Float[Array, "n d"],
    images: int,
    epsilon: float = 0.0,
) -> Float[Array, " p"]:
    """For each identity, the Euclidean distance between the centers of its two modalities.

    Args:
        visible: features, not normalized; the rows of an identity are neighbors. Any float type,
            computed in float32.
        infrared: as `visible`, with identities in the same order.
        images: number of rows of each identity in each modality.
        epsilon: added to each coordinate of the difference; PyTorch's `pairwise_distance` adds
            1e-6.

    Raises:
        ValueError: arrays that do not fit their annotations, or the number of rows is not a
            multiple of `images`.

    >>> visible, infrared = jnp.array([[0.0, 0.0], [2.0, 0.0]]), jnp.array([[4.0, 4.0], [4.0, 4.0]])
    >>> modality_centroid_distance(visible, infrared, images=2).round(4).tolist()
    [5.0]
    """
    if len(visible) % images:
        raise ValueError(f"{len(visible)} rows cannot be divided into identities of {images}")
    difference = (visible.astype(jnp.float32) - infrared.astype(jnp.float32)).reshape(
        -1, images, visible.shape[1]
    )
    squares = ((difference.mean(1) + hoistable(epsilon)) ** 2).sum(1)
    return jnp.sqrt(jnp.maximum(squares, MIN_SQUARED_DISTANCE))


@checked
def discrepancy_margin(
    reduced: tuple[Float[Array, "n d"], Float[Array, "n d"]],
    before: tuple[Float[Array, "n d"], Float[Array, "n d"]],
    images: int,
    hinge: str = "softplus",
    epsilon: float = 0.0,
) -> Float[Array, ""]:
    """The discrepancy reducing loss L_r (equation 11): reduced features' modalities are nearer.

    Mean over identities of the hinge of d(reduced) - d(before). The paper does not define d; here
    it is `modality_centroid_distance`, as in the released code.

    Args:
        reduced: visible and infrared features, as `modality_centroid_distance` takes them.
        before: as `reduced`, before masking.
        images: number of rows of each identity in each modality.
        hinge: `softplus` or `relu`.
        epsilon: as `modality_centroid_distance` takes it.

    Raises:
        ValueError: arrays that do not fit their annotations, an unknown hinge, or the number of
            rows is not a multiple of `images`.

    >>> near, wide = (jnp.zeros((1, 1)), jnp.ones((1, 1))), (jnp.zeros((1, 1)), jnp.array([[3.0]]))
    >>> float(discrepancy_margin(wide, near, images=1, hinge="relu").round(4))
    2.0
    """
    distances = [modality_centroid_distance(*pair, images, epsilon) for pair in (reduced, before)]
    return choose(HINGES, hinge, "hinge")(distances[0] - distances[1]).mean()
