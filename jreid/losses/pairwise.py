"""Distances of all pairs of rows, in float32, with finite gradients where rows coincide."""

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float

from jreid.losses._checks import checked

# Smaller squared distances are rounding errors; at 0 the square root has an infinite gradient.
MIN_SQUARED_DISTANCE = 1e-12


@checked
def euclidean_distances(
    left: Float[Array, "n d"], right: Float[Array, "m d"]
) -> Float[Array, "n m"]:
    """Euclidean distances, at least 1e-6.

    Args:
        left: any float type; computed in float32.
        right: as `left`.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> euclidean_distances(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0], [0.0, 2.0]])).tolist()
    [[5.0, 2.0]]
    """
    left, right = left.astype(jnp.float32), right.astype(jnp.float32)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :]
    squares -= 2 * jnp.matmul(left, right.T, precision=Precision.HIGHEST)
    return jnp.sqrt(jnp.maximum(squares, MIN_SQUARED_DISTANCE))


@checked
def cosine_distances(left: Float[Array, "n d"], right: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """One minus the cosine similarity, from 0 to 2.

    Args:
        left: any float type; computed in float32.
        right: as `left`.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> cosine_distances(jnp.array([[2.0, 0.0]]), jnp.array([[4.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.0, 1.0]]
    """
    return 1 - jnp.matmul(unit_length(left), unit_length(right).T, precision=Precision.HIGHEST)


@checked
def unit_length(features: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each row divided by its Euclidean length, in float32; a row of zeros stays as it is."""
    features = features.astype(jnp.float32)
    squares = (features**2).sum(1, keepdims=True)
    return features * jax.lax.rsqrt(jnp.maximum(squares, MIN_SQUARED_DISTANCE))


DISTANCES = {"cosine": cosine_distances, "euclidean": euclidean_distances}
