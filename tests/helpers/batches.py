"""Batches of random images for tests of networks."""

import jax.numpy as jnp
import numpy as np


def random_batch(rows: int = 4, size: tuple[int, int] = (32, 16), seed: int = 0) -> dict:
    """A Batch of normal noise: `rows` of each modality, two images of each identity."""
    images = np.random.default_rng(seed).normal(size=(2, rows, *size, 3))
    visible, infrared = jnp.asarray(images, jnp.float32)
    identity = jnp.repeat(jnp.arange(rows // 2, dtype=jnp.int32), 2)
    return {"visible": visible, "infrared": infrared, "identity": identity}
