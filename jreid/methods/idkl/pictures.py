"""Pictures of IDKL: which image regions its branches use, and the masks of its purifier."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jreid.errors import InputError
from jreid.methods.method import Variables
from jreid.nn.colors import to_unit
from jreid.nn.resize import resize
from jreid.nn.visualize import as_grid, grad_cam, overlay_heat


def grad_cam_of_branches(apply: Any) -> Callable[..., Array]:
    """Figure 4: `(variables, images [N, H, W, 3], modality)` to pixels `[N, H, 3W, 3]`.

    The images and, to their right, a heat map for the shared and for the specific branch. It shows
    the regions that speak for the training identity that the branch finds most likely.
    """

    def pictures(variables: Variables, images: Array, modality: str) -> Array:
        def score(method: str, x: Array) -> Array:
            return apply(variables, x, train=False, method=method).logits.max(1)

        maps = apply(variables, {modality: images}, train=False).maps
        pixels = jnp.clip(to_unit(images), 0, 1)
        shown = [pixels]
        for branch, method in (
            ("shared_branch", "read_shared"),
            ("specific_branch", "read_specific"),
        ):
            heat = grad_cam(maps[branch].astype(jnp.float32), partial(score, method))
            shown.append(overlay_heat(pixels, heat))
        return jnp.concatenate(shown, axis=2)

    return pictures


def masks_of(apply: Any) -> Callable[..., Array]:
    """`(variables, images [N, H, W, 3], modality)` to pixels `[N, H, 3W, 3]`: the purifier's masks.

    The images and, to their right, m_e and m_r in gray, white for 1. Masks that are per pixel show
    their mean over the channels; pooled masks show one cell for each channel, in reading order.
    """

    def pictures(variables: Variables, images: Array, modality: str) -> Array:
        purified = apply(variables, {modality: images}, train=False).purified
        if not purified:
            raise InputError(
                "config.idkl.purifier.masks=none has no masks to show; train with another value."
            )
        shown = [jnp.clip(to_unit(images), 0, 1)]
        for mask in (purified.enhancement_mask, purified.reduction_mask):
            pooled = mask.shape[1:3] == (1, 1)
            gray = as_grid(mask[:, 0, 0]) if pooled else mask.mean(-1, keepdims=True)
            large = resize(gray.astype(jnp.float32), images.shape[1:3], "nearest")
            shown.append(jnp.repeat(large, 3, axis=-1))
        return jnp.concatenate(shown, axis=2)

    return pictures
