"""Gradient reversal, for networks of which one part is to be worse off for another."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def reverse_gradient(x: Float[Array, "*n"], strength: float | Float[Array, ""]) -> Array:
    """`x` itself, whose gradient comes back times -strength.

    The gradient reversal layer of Ganin and Lempitsky (ICML 2015): what is trained on its output
    gets better at its task, what made `x` worse.

    Args:
        strength: a number or a traced scalar, such as a schedule's value. It gets no gradient.
    """
    constant = lax.stop_gradient(x)
    # The difference is zero, exactly; only its gradient is not.
    return constant - lax.stop_gradient(jnp.asarray(strength, x.dtype)) * (x - constant)


def rising_strength(progress: Float[Array, ""]) -> Float[Array, ""]:
    """From 0 to almost 1 as `progress` goes from 0 to 1: 2 / (1 + exp(-10 p)) - 1.

    The schedule of the reversal's strength of Ganin and Lempitsky, section 5.2.2.
    """
    return 2 * jax.nn.sigmoid(10 * progress) - 1
