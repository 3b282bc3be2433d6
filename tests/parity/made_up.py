"""Made-up weights and images, and fingerprints of arrays: what both sides of the comparison share.

The `.npz` files beside this hold what the authors' own PyTorch code computes from these weights and
images in float64. A fingerprint of an array is its norm, two projections on fixed random directions
and a few entries: enough to see any difference, in 60 kB for each network.
"""

import zlib
from pathlib import Path

import numpy as np

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FROZEN = ("bn_neck.bias", "bn_neck_sp.bias", "bottleneck.bias")  # at zero, in all of training


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of the PyTorch entry of this name: a function of its name and shape alone."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "running_var":
        values = random.uniform(0.5, 1.5, shape)
    elif kind == "running_mean":
        values = 0.1 * random.standard_normal(shape)
    elif len(shape) > 1:
        values = random.standard_normal(shape) * np.sqrt(1.6 / np.prod(shape[1:]))
    elif kind == "weight":  # of a batch norm; the last of a residual block is small
        small = name.endswith(("bn3.weight", "W.1.weight"))
        values = random.uniform(0.5, 1.0, shape) * (0.3 if small else 1.0)
    elif name in FROZEN:
        values = np.zeros(shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


def images(size: tuple[int, int], seed: int, identity: np.ndarray, infrared: np.ndarray):
    """Normalized images of smooth noise: of the identity, of the modality and of each image."""
    random, count = np.random.default_rng(seed), len(identity)

    def smooth(number: int) -> np.ndarray:
        small = random.uniform(0, 1, (number, size[0] // 8, size[1] // 8, 3))
        return np.repeat(np.repeat(small, 8, 1), 8, 2)

    people, modalities, own = smooth(64)[identity], smooth(2)[infrared.astype(int)], smooth(count)
    x = 0.5 * people + 0.2 * modalities + 0.3 * own
    x = x + random.normal(0, 0.03, x.shape)
    x = np.where(infrared[:, None, None, None], x.mean(-1, keepdims=True), x)
    return ((np.clip(x, 0, 1) - MEAN) / STD).astype(np.float32)


def fingerprint(name: str, array: np.ndarray) -> np.ndarray:
    """Its norm, two projections and 13 entries."""
    x = np.asarray(array, np.float64).reshape(-1)
    random = np.random.default_rng(zlib.crc32(name.encode()) + 1)
    one, other = random.standard_normal(x.size), random.standard_normal(x.size)
    return np.array([np.linalg.norm(x), x @ one, x @ other, *x[random.integers(0, x.size, 13)]])


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two fingerprints relative to the norm, and to the largest entry.

    A projection on a random direction has the size of the norm. The files keep fewer entries.
    """
    gap = np.abs(ours[: len(theirs)] - theirs)
    sizes = max(theirs[0], 1e-300), max(np.abs(theirs[3:]).max(), 1e-300)
    return float(max(gap[:3].max() / sizes[0], gap[3:].max() / sizes[1]))


def read(path: Path) -> dict[str, np.ndarray]:
    """The losses as `loss/STEP/NAME`, the fingerprints as `KIND/ENTRY`."""
    stored = dict(np.load(path))
    for kind in [key.partition(":")[2] for key in stored if key.startswith("names:")]:
        names, values = stored.pop(f"names:{kind}"), stored.pop(f"values:{kind}")
        stored |= {f"{kind}/{name}": value for name, value in zip(names, values, strict=True)}
    return stored
