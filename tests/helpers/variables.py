"""Variables for tests that do not need a method's own start, which takes long to compile."""

from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict


def filled(shapes: Any, seed: int = 0) -> Any:
    """Arrays of these shapes: kernels random so that outputs keep the size of inputs, norms new."""
    rng = np.random.default_rng(seed)

    def fill(path: str, shape: tuple[int, ...]) -> np.ndarray:
        kind = path.rpartition("/")[2]
        if kind == "kernel":
            return rng.normal(size=shape, scale=np.prod(shape[:-1]) ** -0.5)
        return np.ones(shape) if kind in ("scale", "var") else np.zeros(shape)

    leaves = flatten_dict(shapes, sep="/")
    return unflatten_dict(
        {path: fill(path, leaf.shape).astype(np.float32) for path, leaf in leaves.items()}, sep="/"
    )
