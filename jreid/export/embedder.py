"""The whole embedding as one function: from pixels of any size to unit vectors."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from jreid.datasets import MODALITIES
from jreid.engine.step import embed_of
from jreid.export.preprocess import preprocess, to_gray
from jreid.methods import Config, Method, Variables

Embedder = Callable[[UInt8[Array, "n h w 3"], Int[Array, ""]], Float[Array, "n d"]]


def make_embedder(config: Config, method: Method, variables: Variables) -> Embedder:
    """The function `(pixels [N, h, w, 3] uint8, modality int32) -> [N, D]` float32, unit vectors.

    It prepares pixels, RGB, as `jreid embed` does: gray if the config says so, resized,
    normalized. `modality` is the place in `MODALITIES`, of all N images: 0 is visible, 1 infrared.
    N, h and w may be symbolic.
    """
    image = config.image
    embed = embed_of(method, config.evaluation.flip)
    gray = [bool(image[f"gray_{modality}"]) for modality in MODALITIES]

    def of(modality: str) -> Callable[..., Float[Array, "n d"]]:
        def embed_images(variables, images):
            features = embed(variables, images, modality)
            norm = jnp.linalg.norm(features, axis=1, keepdims=True)
            return features / jnp.maximum(norm, jnp.finfo(jnp.float32).tiny)

        return embed_images

    branches = [of(modality) for modality in MODALITIES]

    def embedder(pixels, modality):
        modality = jnp.clip(modality, 0, len(MODALITIES) - 1)
        if all(gray):
            pixels = to_gray(pixels)
        elif any(gray):
            pixels = jnp.where(modality == gray.index(True), to_gray(pixels), pixels)
        images = preprocess(pixels, tuple(image.size), image.resize)
        # The variables are an operand, so that the branches share them.
        return jax.lax.switch(modality, branches, variables, images)

    return embedder
