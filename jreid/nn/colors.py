"""Normalized images and pixels: ImageNet's mean and deviation, and the luma of colors."""

import jax.numpy as jnp
from jaxtyping import Array, Float

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601's share of red, green and blue


def to_unit(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Normalized images, converted to pixels in 0..1."""
    return images * _channels(IMAGENET_STD) + _channels(IMAGENET_MEAN)


def from_unit(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Pixels in 0..1, normalized by ImageNet's mean and standard deviation."""
    return (images - _channels(IMAGENET_MEAN)) / _channels(IMAGENET_STD)


def _channels(values: tuple[float, ...]) -> Float[Array, "1 1 1 3"]:
    return jnp.array(values, jnp.float32)[None, None, None]
