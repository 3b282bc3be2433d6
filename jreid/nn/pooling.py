"""From a feature map to one vector for each image, in float32."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def global_average(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """The mean over all positions."""
    return jnp.mean(x.astype(jnp.float32), axis=(1, 2))


def global_max(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """The maximum over all positions."""
    n, h, w, c = x.shape
    return first_maximum(x.astype(jnp.float32).reshape(n, h * w, c), 1)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def first_maximum(x: Array, axis: int) -> Array:
    """The maximum over an axis; its gradient goes to the first one, as PyTorch's does.

    The gradient of `jnp.max` goes where x equals the maximum. XLA may compute x again for that,
    with other rounding, so that it is equal nowhere. An index is not rounded.
    """
    return jnp.max(x, axis)


@first_maximum.defjvp
def _to_the_first(axis: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    first = jnp.argmax(x, axis, keepdims=True)
    chosen = lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim) == first
    return first_maximum(x, axis), jnp.where(chosen, dx, jnp.zeros((), dx.dtype)).sum(axis)


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
    x = x.astype(jnp.float32)
    powers = jnp.where(x < minimum, minimum, x) ** p
    return (jnp.mean(powers, axis=(1, 2)) + epsilon) ** (1 / p)


POOLING = {"average": global_average, "generalized_mean": generalized_mean, "max": global_max}
