"""All randomness of the rendering: a generator for each purpose and key, and smooth noise.

Random numbers of one purpose do not depend on those of another, so images may be rendered in
any order.
"""

from enum import IntEnum
from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image

LAYERS, SIDE = 4, 512  # of the noise bank
OCTAVES = ((16, 1.0), (40, 0.7), (90, 0.25))  # cells across the bank, and their weight


class Purpose(IntEnum):
    """The purpose of a generator; comments give the keys."""

    PLAN = 0
    GALLERY = 1  # camera, identity
    PERSON = 2  # identity
    IMAGE = 3  # identity, camera, index
    NOISE = 4
    SCENE = 5  # location


def generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """The random generator that belongs to `seed`, `purpose` and `key` alone."""
    sequence = np.random.SeedSequence((seed, int(purpose), *key))
    return np.random.Generator(np.random.PCG64(sequence))


@cache
def noise_bank(seed: int) -> Float[np.ndarray, "layers side side"]:
    """Smooth noise of unit deviation, for cloth folds and the grain of floors and walls."""
    rng = generator(seed, Purpose.NOISE)
    layers = []
    for _ in range(LAYERS):
        field = np.zeros((SIDE, SIDE), np.float32)
        for cells, weight in OCTAVES:
            # Half as many cells downwards: folds hang, so they are longer than wide.
            coarse = rng.standard_normal((cells // 2, cells), np.float32)
            smooth = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            field += weight * np.asarray(smooth)
        layers.append(field / field.std())
    return np.stack(layers)


def noise_patch(
    seed: int, shape: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """A random window of the noise bank, of `shape` (height, width)."""
    top, left = rng.integers(0, SIDE - shape[0]), rng.integers(0, SIDE - shape[1])
    layer = noise_bank(seed)[rng.integers(LAYERS)]
    return layer[top : top + shape[0], left : left + shape[1]]
