"""Resizing of maps and images within a network; gradients flow through it."""

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float


def resize_bilinear(x: Float[Array, "n h w c"], size: Sequence[int]) -> Float[Array, "n i j c"]:
    """Resizes height and width to `size`: corners not aligned, no antialias when they shrink.

    PyTorch's `F.interpolate(mode="bilinear")`.
    """
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "bilinear", antialias=False)


def upsample(
    x: Float[Array, "n h w c"], like: Float[Array, "n i j _"], method: str = "bilinear"
) -> Float[Array, "n i j c"]:
    """Enlarges to the height and width of `like`, corners not aligned."""
    shape = (x.shape[0], *like.shape[1:3], x.shape[-1])
    return jax.image.resize(x, shape, method, antialias=False)
