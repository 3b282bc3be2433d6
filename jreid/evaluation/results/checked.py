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
from jreid.evaluation.results.collapse import (
    COLLAPSED,
    CollapseWarning,
    mean_negative_similarity,
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
    used, collapsed = np.zeros(len(features), bool), []
    for rows, role in ((drawn.query_rows, "query"), (drawn.gallery_rows, "gallery")):
        rows = np.unique(rows)
        used[rows] = True
        some = features[rows]
        require_finite(some, role, table.name[rows])
        similarity = mean_negative_similarity(some, table.identity[rows], protocol.distance)
        if similarity > COLLAPSED:
            collapsed.append(role)
    _warn_of_collapse(collapsed)
    if not used.all():
        features = np.where(used[:, None], features, 0)
    (rescaled,) = rescale_for_float32([features], protocol.distance)
    return np.asarray(rescaled)


def _warn_of_collapse(roles: list[str]) -> None:
    """Warns once, whatever the number of images, trials and protocols."""
    if roles:
        warnings.warn(
            f"The features of different people in the {' and in the '.join(roles)} images are "
            "(nearly) equal: the model has collapsed, and its metrics mean nothing.",
            CollapseWarning,
            stacklevel=4,
        )
