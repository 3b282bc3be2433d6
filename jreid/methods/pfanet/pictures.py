"""Pictures of PFANet: the images that its generators make."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array

from jreid.methods.method import Variables
from jreid.methods.pfanet.network import Networks, as_pixels


def pictures_of(networks: Networks) -> Mapping[str, Callable[..., Array]]:
    """`(variables, images [N, H, W, 3], modality)` to pixels in 0..1, side by side.

    `generated` [N, H, 2W, 3] is the image and its translation to the other modality, as in figure
    5; `cycle` [N, H, 3W, 3] adds the translation back.
    """

    def cycle(variables: Variables, images: Array, modality: str) -> Array:
        net, pixels = networks.bind(variables), as_pixels(images)
        there, back = net.to_infrared, net.to_visible
        if modality == "infrared":
            there, back = back, there
        other = there(pixels)
        row = jnp.concatenate([pixels, other, back(other)], axis=2)
        return jnp.clip((row + 1) / 2, 0, 1)

    def generated(variables: Variables, images: Array, modality: str) -> Array:
        return cycle(variables, images, modality)[:, :, : 2 * images.shape[2]]

    return {"generated": generated, "cycle": cycle}
