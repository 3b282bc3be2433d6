"""Losses on identity logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jreid.losses.shapes import checked


@checked
def cross_entropy(
    logits: Float[Array, "n classes"], identity: Int[Array, " n"]
) -> Float[Array, ""]:
    """Mean cross-entropy in nats over the batch, without label smoothing.

    Args:
        logits: any float type; computed in float32.
        identity: class numbers from 0.
    """
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_probability, identity[:, None], axis=1).mean()
