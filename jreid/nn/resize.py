"""Resizing of maps and images within a network; gradients flow through it."""

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float


def resize(
    x: Float[Array, "n h w c"], size: Sequence[int], method: str = "bilinear"
) -> Float[Array, "n i j c"]:
    """Resizes height and width to `size`: corners not aligned, no antialias when they shrink.

    PyTorch's `F.interpolate(mode="bilinear")`.

    Args:
        x: images or maps.
        size: the new height and width.
        method: `bilinear` or `nearest`.
    """
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), method, antialias=False)
