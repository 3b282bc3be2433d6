"""Pictures of what a network looks at: Grad-CAM, heat as colors, numbers as a grid."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SMALLEST_HEAT = 1e-12


def grad_cam(
    maps: Float[Array, "n h w c"], score: Callable[[Array], Float[Array, " n"]]
) -> Float[Array, "n h w"]:
    """Where a feature map speaks for a score, in 0..1, the strongest position of each image 1.

    Selvaraju et al., Grad-CAM (ICCV 2017), equations 1 and 2: the positive part of the channels'
    sum, each weighted by its gradient's mean over the positions. All zeros where nothing speaks
    for it.

    Args:
        maps: of n images.
        score: `maps` to one number an image, which depends on that image's map alone.
    """
    gradient = jax.grad(lambda x: score(x).sum())(maps).astype(jnp.float32)
    weights = gradient.mean((1, 2), keepdims=True)
    heat = jax.nn.relu((weights * maps.astype(jnp.float32)).sum(-1))
    return heat / jnp.maximum(heat.max((1, 2), keepdims=True), SMALLEST_HEAT)


def heat_colors(values: Float[Array, "n h w"]) -> Float[Array, "n h w 3"]:
    """Values in 0..1 as colors in 0..1: from blue by green and yellow to red."""
    centers = jnp.array([0.75, 0.5, 0.25])[None, None, None]
    return jnp.clip(1.5 - 4 * jnp.abs(values[..., None] - centers), 0, 1)


def as_grid(values: Float[Array, "n c"]) -> Float[Array, "n i j 1"]:
    """The numbers of each row in a grid of c cells, in reading order, at least as high as wide."""
    count = values.shape[1]
    width = max(d for d in range(1, math.isqrt(count) + 1) if count % d == 0)
    return values.reshape(-1, count // width, width, 1)
