"""Pictures of what a network uses in an image: Grad-CAM, heat as colors, numbers as a grid."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.resize import resize

SMALLEST_HEAT = 1e-12


def grad_cam(
    maps: Float[Array, "n h w c"], score: Callable[[Array], Float[Array, " n"]]
) -> Float[Array, "n h w"]:
    """How much each position of a map raises a score, in 0..1; each image's strongest is 1.

    Selvaraju et al., Grad-CAM (ICCV 2017), equations 1 and 2: the positive part of the channels'
    sum, each weighted by its gradient's mean over the positions. All zeros if no position raises
    the score.

    Args:
        maps: of n images.
        score: `maps` to one number for each image, which depends only on that image's map.
    """
    return grad_cam_heat(maps, jax.grad(lambda x: score(x).sum())(maps))


def grad_cam_heat(
    maps: Float[Array, "n h w c"], gradient: Float[Array, "n h w c"]
) -> Float[Array, "n h w"]:
    """`grad_cam` of maps whose score has this gradient."""
    weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
    heat = jax.nn.relu((weights * maps.astype(jnp.float32)).sum(-1))
    return heat / jnp.maximum(heat.max((1, 2), keepdims=True), SMALLEST_HEAT)


def heat_colors(values: Float[Array, "n h w"]) -> Float[Array, "n h w 3"]:
    """Values in 0..1 as colors in 0..1: from blue through green and yellow to red."""
    centers = jnp.array([0.75, 0.5, 0.25])[None, None, None]
    return jnp.clip(1.5 - 4 * jnp.abs(values[..., None] - centers), 0, 1)


def overlay_heat(
    pixels: Float[Array, "n h w 3"], heat: Float[Array, "n i j"]
) -> Float[Array, "n h w 3"]:
    """Images in 0..1 under their heat maps in 0..1, which are enlarged to them and half opaque."""
    large = jnp.clip(resize(heat[..., None], pixels.shape[1:3])[..., 0], 0, 1)
    return 0.5 * pixels + 0.5 * heat_colors(large)


def as_grid(values: Float[Array, "n c"]) -> Float[Array, "n i j 1"]:
    """The c numbers of each row as a grid of cells in reading order, at least as high as wide."""
    count = values.shape[1]
    width = max(d for d in range(1, math.isqrt(count) + 1) if count % d == 0)
    return values.reshape(-1, count // width, width, 1)
