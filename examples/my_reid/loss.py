"""Your own loss: a function of arrays, named by config.triplet.kind="my_reid.loss.circle"."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

GAMMA = 64.0


def circle(
    features: Float[Array, "n d"], identity: Integer[Array, " n"], margin: float
) -> Float[Array, ""]:
    """Circle loss (Sun et al., CVPR 2020, equation 6), its mean over anchors.

    Args:
        features: not normalized.
        identity: of each row.
        margin: the relaxation m, such as 0.25.
    """
    unit = features / jnp.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    similarity = unit @ unit.T
    same = identity[:, None] == identity[None, :]
    others = ~jnp.eye(len(features), dtype=bool)
    weight = jax.lax.stop_gradient
    positive = -GAMMA * weight((1 + margin - similarity).clip(0)) * (similarity - 1 + margin)
    negative = GAMMA * weight((similarity + margin).clip(0)) * (similarity - margin)
    pull = jax.nn.logsumexp(positive, axis=1, where=same & others)
    push = jax.nn.logsumexp(negative, axis=1, where=~same)
    return jax.nn.softplus(pull + push).mean()
