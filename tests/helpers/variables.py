"""Variables of methods and networks: their shapes and sizes, and values that need no compiling."""

from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from helpers.batches import random_batch


def shapes(method: Any, size: tuple[int, int] = (32, 16)) -> Any:
    """What the method's `init` gives for images of this size, as shapes."""
    return jax.eval_shape(method.init, jax.random.key(0), random_batch(size=size))


def count(tree: Any) -> int:
    """The number of numbers in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def flat(tree: Any) -> Any:
    """The arrays by path, such as `neck/scale`."""
    return flatten_dict(tree, sep="/")


def filled(shapes: Any, seed: int = 0, gain: float = 1.0) -> Any:
    """Arrays of these shapes: norms and biases new, the rest random.

    Args:
        gain: 1 where outputs keep the size of inputs, 2 where they do so behind a ReLU.
    """
    rng = np.random.default_rng(seed)

    def fill(path: str, shape: tuple[int, ...]) -> np.ndarray:
        kind = path.rpartition("/")[2]
        if kind in ("scale", "var"):
            return np.ones(shape)
        if kind in ("bias", "mean"):
            return np.zeros(shape)
        return rng.normal(0, (gain / np.prod(shape[:-1])) ** 0.5, shape)

    return unflatten_dict(
        {path: fill(path, leaf.shape).astype(np.float32) for path, leaf in flat(shapes).items()},
        sep="/",
    )
