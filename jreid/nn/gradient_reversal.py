"""Gradient reversal, for networks in which one part is trained against another."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def reverse_gradient(x: Float[Array, "*n"], strength: float | Float[Array, ""]) -> Array:
    """`x` unchanged; the gradient of `x` is multiplied by -strength.

    The gradient reversal layer of Ganin and Lempitsky (ICML 2015): the layers after it learn a
    task, and the layers before it learn to make that task harder.

    Args:
        strength: a number or a traced scalar, such as a schedule's value. It gets no gradient.
    """
    constant = lax.stop_gradient(x)
    # The difference is exactly zero, but its gradient is not.
    return constant - lax.stop_gradient(jnp.asarray(strength, x.dtype)) * (x - constant)


def rising_strength(progress: Float[Array, ""]) -> Float[Array, ""]:
    """From 0 to almost 1 as `progress` goes from 0 to 1: 2 / (1 + exp(-10 p)) - 1.

    The schedule of the reversal's strength of Ganin and Lempitsky, section 5.2.2.
    """
    return 2 * jax.nn.sigmoid(10 * progress) - 1
