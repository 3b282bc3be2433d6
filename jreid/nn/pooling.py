"""From a feature map to one vector for each image, in float32."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def global_average(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """The mean over all positions."""
    return jnp.mean(x.astype(jnp.float32), axis=(1, 2))


def global_max(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """The maximum over all positions."""
    return jnp.max(x.astype(jnp.float32), axis=(1, 2))


def generalized_mean(
    x: Float[Array, "n h w c"], p: float = 3.0, minimum: float = 0.0, epsilon: float = 1e-12
) -> Float[Array, "n c"]:
    """GeM (Radenovic et al., 2018, eq. 3): (mean of max(x, minimum)^p + epsilon)^(1/p).

    The defaults are those of AGW's released code, in which the maps follow a ReLU. IDKL and
    MPANet use minimum=1e-6 and epsilon=0.

    Raises:
        ValueError: neither `minimum` nor `epsilon` is positive: zeros would have no gradient.
    """
    if minimum <= 0 and epsilon <= 0:
        raise ValueError("generalized_mean needs a positive minimum or epsilon")
    powers = jnp.maximum(x.astype(jnp.float32), minimum) ** p
    return (jnp.mean(powers, axis=(1, 2)) + epsilon) ** (1 / p)


POOLING = {"average": global_average, "generalized_mean": generalized_mean, "max": global_max}
