"""Prepares pixels of any size for a network, in JAX, as `jreid.data.pixels` does for one image.

Shapes may be symbolic, so that an export takes images of any size.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jreid.data.pixels import RADIUS, SCALE, SHIFT

LUMA = np.array([[[[19595, 38470, 7471]]]], np.float32)  # Pillow's weights, in 1 / 2**16


def to_gray(pixels: UInt8[Array, "n h w 3"]) -> UInt8[Array, "n h w 3"]:
    """Converts to gray by Pillow's luma, repeated over the channels."""
    # Exact: all sums are whole numbers below 2**24.
    luma = (pixels.astype(jnp.float32) * LUMA).sum(-1, keepdims=True)
    levels = jnp.floor((luma + 0x8000) / 0x10000).astype(jnp.uint8)
    return jnp.broadcast_to(levels, pixels.shape)


def preprocess(
    pixels: UInt8[Array, "n h w 3"], size: tuple[int, int], method: str
) -> Float[Array, "n H W 3"]:
    """Resizes to `size` (height, width) with antialiasing, rounds, and normalizes.

    Args:
        method: `bilinear` or `lanczos`.
    """
    _, h, w, _ = pixels.shape
    rows, columns = _weights(h, size[0], method), _weights(w, size[1], method)
    # Exact products: GPUs and TPUs would round the factors first.
    exact = jax.lax.Precision.HIGHEST
    levels = jnp.einsum("Hh,nhwc->nHwc", rows, pixels.astype(jnp.float32), precision=exact)
    levels = jnp.einsum("Ww,nHwc->nHWc", columns, levels, precision=exact)
    levels = jnp.floor(levels.clip(0, 255) + 0.5)
    return levels * np.reshape(SCALE, (1, 1, 1, 3)) + np.reshape(SHIFT, (1, 1, 1, 3))


def _weights(n: Any, N: int, method: str) -> Float[Array, "N n"]:
    """The matrix that resizes n pixels to N; n may be symbolic."""
    step = 1 / (N / jnp.asarray(n).astype(jnp.float32))  # input pixels per output pixel
    stretch = jnp.maximum(step, 1)
    reach = RADIUS[method] * stretch
    centers = ((jnp.arange(N, dtype=jnp.float32) + 0.5) * step)[:, None]
    source = jnp.arange(n, dtype=jnp.float32)[None]
    inside = (source >= jnp.ceil(centers - reach - 0.5)) & (
        source <= jnp.floor(centers + reach - 0.5)
    )
    values = _kernel(jnp.abs(source + 0.5 - centers) * (1 / stretch), method)
    values = jnp.where(inside, values, 0)
    return values * (1 / values.sum(1, keepdims=True))


def _kernel(distance: Float[Array, "N n"], method: str) -> Float[Array, "N n"]:
    if method == "bilinear":
        return jnp.maximum(1 - distance, 0)
    x = jnp.pi * jnp.maximum(distance, 1e-3)
    values = 3 * jnp.sin(x) * jnp.sin(x / 3) / (x * x)
    return jnp.where(distance > 3, 0, jnp.where(distance <= 1e-3, 1, values))
