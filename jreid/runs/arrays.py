"""The arrays of a network by their paths, and whether stored ones are of the same network."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jreid.errors import InputError, differing


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, such as `params/Conv_0/bias`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def shape_of(array: Any) -> str:
    """An array's type and shape, such as `float32[64, 8]`."""
    return f"{array.dtype}{[*array.shape]}"


def digest(tree: Any) -> str:
    """SHA-256 of a tree's arrays: of their paths, types, shapes and values."""
    found = hashlib.sha256()
    for path, leaf in sorted(by_path(jax.device_get(tree)).items()):
        found.update(f"{path} {shape_of(leaf)}\n".encode())
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def require_same(place: object, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Checks that stored arrays have the paths, types and shapes of a config's network.

    Args:
        place: where the arrays are stored, for the error.
        ours: arrays by path, or their shapes.
        theirs: the stored ones.

    Raises:
        InputError: with the arrays that differ.
    """
    asked, found = (
        {path: shape_of(leaf) for path, leaf in leaves.items()} for leaves in (ours, theirs)
    )
    differ = [
        f"{path}: {asked.get(path, 'none')}, {found.get(path, 'none')}"
        for path in sorted(asked | found)
        if asked.get(path) != found.get(path)
    ]
    if differ:
        raise InputError(
            f"{place} belongs to another network or optimizer than the config's, so nothing is "
            f"loaded ({differing(len(differ), 'arrays')}, by the config and in the checkpoint: "
            f"{'; '.join(differ[:5])}); give the run's own config, or choose another --workdir."
        )
