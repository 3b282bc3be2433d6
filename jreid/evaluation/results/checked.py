"""Checks the features that are evaluated, once."""

import warnings

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from jreid.data.table import Table
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.protocols.query_gallery import QueryGallery
from jreid.evaluation.ranking.inputs import (
    check_features,
    check_options,
    require_finite,
    rescale_for_float32,
)


def checked_features(
    features: ArrayLike, table: Table, drawn: QueryGallery, protocol: Protocol
) -> Float[np.ndarray, "n d"]:
    """The features as float32 for comparison, with zeros in rows that are not sampled.

    Warns if they have collapsed to a point.

    Raises:
        InputError: features of queries or gallery have NaN or infinity.
        ValueError: the numbers of features and rows differ, or the protocol has an unknown option.
    """
    check_options(protocol.cmc, protocol.distance, block=1)
    shape = np.shape(features)
    if len(shape) != 2 or shape[0] != len(table.name):
        raise ValueError(
            f"features has the shape {[*shape]}: it must be [{len(table.name)}, D], one row for "
            "each row of the table."
        )
    features = np.asarray(check_features(features, "features"))
    used = np.zeros(len(features), bool)
    for rows, role in ((drawn.query_rows, "query"), (drawn.gallery_rows, "gallery")):
        rows = np.unique(rows)
        used[rows] = True
        require_finite(features[rows], role, table.name[rows])
        _warn_if_collapsed(features[rows], role, protocol.distance)
    if not used.all():
        features = np.where(used[:, None], features, 0)
    (rescaled,) = rescale_for_float32([features], protocol.distance)
    return np.asarray(rescaled)


def _warn_if_collapsed(features: np.ndarray, role: str, distance: str) -> None:
    """Warns if all features are one point, or one direction, up to a thousandth."""
    if len(features) == 1:
        return
    features = features.astype(np.float64)
    if distance == "cosine":
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(norm == 0, 1, norm)
    mean = features.mean(axis=0)
    spread = np.linalg.norm(features - mean, axis=1).max()
    if spread <= 1e-3 * np.linalg.norm(mean):
        warnings.warn(
            f"The features of all {len(features)} {role} images are (nearly) equal: the model has "
            "collapsed, and its metrics mean nothing.",
            RuntimeWarning,
            stacklevel=4,
        )
