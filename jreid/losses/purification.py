"""The two losses of IDKL's information purifier: more identity, less modality than before it.

Ren and Zhang, Implicit Discriminative Knowledge Learning (CVPR 2024), equations 10 and 11. Both
compare a number of the masked features to the same of the features before, by a hinge: `softplus`
of the difference, as printed, or `relu`, as in the released code.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses.shapes import checked
from jreid.losses.triplet import SMALLEST_SQUARE

HINGES = ("softplus", "relu")


@checked
def entropy(logits: Float[Array, "n classes"]) -> Float[Array, " n"]:
    """The entropy of each row's softmax in nats, in float32."""
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -(jnp.exp(log_probability) * log_probability).sum(1)


@checked
def entropy_margin(
    enhanced: Float[Array, "n classes"], before: Float[Array, "n classes"], hinge: str = "softplus"
) -> Float[Array, ""]:
    """The discrimination enhancing loss L_e: enhanced features shall be classified more surely.

    Mean over rows of softplus(h(enhanced) - h(before)), where h is the `entropy`, or, with the
    hinge `relu`, of exp(relu(h(enhanced) - h(before))) - 1, as in the released code.

    Raises:
        ValueError: an unknown hinge.
    """
    hinges = {"softplus": jax.nn.softplus, "relu": lambda x: jnp.expm1(jax.nn.relu(x))}
    return _find(hinges, hinge)(entropy(enhanced) - entropy(before)).mean()


@checked
def modality_centroid_distance(
    visible: Float[Array, "n d"], infrared: Float[Array, "n d"], images: int
) -> Float[Array, " p"]:
    """The Euclidean distance, for each identity, of the centres of its two modalities.

    Args:
        visible: features, not normalised; the rows of an identity are neighbours.
        infrared: likewise, identities in the same order.
        images: rows of an identity in each.

    Raises:
        ValueError: rows that are no multiple of `images`.
    """
    if len(visible) % images:
        raise ValueError(f"{len(visible)} rows are no whole identities of {images}")
    difference = (visible.astype(jnp.float32) - infrared.astype(jnp.float32)).reshape(
        -1, images, visible.shape[1]
    )
    squares = (difference.mean(1) ** 2).sum(1)
    return jnp.sqrt(jnp.maximum(squares, SMALLEST_SQUARE))


def discrepancy_margin(
    reduced: tuple[Float[Array, "n d"], Float[Array, "n d"]],
    before: tuple[Float[Array, "n d"], Float[Array, "n d"]],
    images: int,
    hinge: str = "softplus",
) -> Float[Array, ""]:
    """The discrepancy reducing loss L_r: reduced features shall differ less between modalities.

    Mean over identities of the hinge of d(reduced) - d(before), d the `modality_centroid_distance`,
    which is the released code's: the paper leaves its d open.

    Args:
        reduced: visible and infrared features, as `modality_centroid_distance` takes them.
        before: likewise.
        images: rows of an identity in each.
        hinge: `softplus` or `relu`.

    Raises:
        ValueError: an unknown hinge, or rows that are no multiple of `images`.
    """
    hinges = {"softplus": jax.nn.softplus, "relu": jax.nn.relu}
    distances = [modality_centroid_distance(*pair, images) for pair in (reduced, before)]
    return _find(hinges, hinge)(distances[0] - distances[1]).mean()


def _find(hinges: Mapping[str, Callable[[Array], Array]], name: str) -> Callable[[Array], Array]:
    if name not in hinges:
        raise ValueError(f"the hinge is one of {', '.join(HINGES)}, not {name!r}")
    return hinges[name]
