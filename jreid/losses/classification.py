"""Losses on identity logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jreid.losses._checks import checked


@checked
def cross_entropy(
    logits: Float[Array, "n classes"], identity: Integer[Array, " n"]
) -> Float[Array, ""]:
    """Mean cross-entropy in nats over the batch, without label smoothing.

    Args:
        logits: any float type; computed in float32.
        identity: class numbers from 0.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> float(jnp.exp(cross_entropy(jnp.zeros((1, 4)), jnp.array([2]))).round(4))
    4.0
    """
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_probability, identity[:, None], axis=1).mean()
