"""Inputs of the ranking: features and labels, checked and converted for the devices."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from jreid.errors import InputError

DISTANCES = ("cosine", "euclidean")
CMC_KINDS = ("identity", "image")
# The range of the largest value for which sums of squares stay within float32.
SAFE_RANGE = (2.0**-50, 2.0**50)
JUNK = -1  # the identity of junk images by Market-1501's convention

# Any number of rows; the features of one call have one number of dimensions.
Features = Float[np.ndarray, "_ d"] | Float[Array, "_ d"]


class Labels(NamedTuple):
    """Identities, and groups as numbers 0, 1, ... or None if no query ignores anything."""

    query_identity: Int[np.ndarray, " q"]
    gallery_identity: Int[np.ndarray, " g"]
    query_group: Int[np.ndarray, " q"] | None
    gallery_group: Int[np.ndarray, " g"] | None


def check_options(cmc: str, distance: str, block: int) -> None:
    """Raises ValueError for an unknown option."""
    if cmc not in CMC_KINDS or distance not in DISTANCES or block < 1:
        raise ValueError(f"cmc={cmc!r}, distance={distance!r}, block={block!r} is not supported.")


def check_features(features: ArrayLike, name: str) -> Features:
    """`[N, D]` float32, of jax if it was, and of numpy otherwise.

    Raises:
        ValueError: it is not a non-empty `[N, D]` array of floating point.
    """
    array = features if isinstance(features, jax.Array) else np.asarray(features)
    if array.ndim != 2 or 0 in array.shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} is {array.dtype}{list(array.shape)}: it must be a non-empty [N, D] array of "
            "floating-point features."
        )
    with np.errstate(over="ignore"):  # values that overflow are reported as infinite
        return array if array.dtype == np.float32 else array.astype(np.float32)


def check_pair(
    query: ArrayLike, gallery: ArrayLike, distance: str, block: int, cmc: str = "identity"
) -> tuple[Features, Features]:
    """Features of queries `[Q, D]` and gallery `[G, D]`, float32 and checked.

    Public functions call it; the functions that they call do not check again.

    Raises:
        InputError: they hold NaN or infinity.
        ValueError: shapes, types or options do not fit.
    """
    check_options(cmc, distance, block)
    query, gallery = check_features(query, "query"), check_features(gallery, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(f"query has {query.shape[1]} dimensions, gallery {gallery.shape[1]}.")
    for features, role in ((query, "query"), (gallery, "gallery")):
        if not np.isfinite([float(features.min()), float(features.max())]).all():
            names = [f"row {row}" for row in range(len(features))]
            require_finite(np.asarray(features), role, names)
    return query, gallery


def require_finite(features: np.ndarray, role: str, names: Sequence[str] | np.ndarray) -> None:
    """Raises InputError if features `[N, D]` of images `names` `[N]` have NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise InputError(
            f"The {role} features hold NaN or infinity in {bad.size} of {len(features)} images, "
            f"the first of them {names[bad[0]]}: a model that diverged cannot be ranked, evaluate "
            "an earlier checkpoint."
        )


def check_labels(
    query_identities: ArrayLike,
    gallery_identities: ArrayLike,
    query_groups: ArrayLike | None,
    gallery_groups: ArrayLike | None,
    queries: int,
    images: int,
) -> Labels:
    """The labels of Q queries and N images.

    Raises:
        ValueError: lengths or types do not fit.
    """
    if (query_groups is None) != (gallery_groups is None):
        raise ValueError("query_groups and gallery_groups must be given together.")
    query_identity = _labels(query_identities, "query_identities", queries)
    gallery_identity = _labels(gallery_identities, "gallery_identities", images)
    if query_groups is None or gallery_groups is None:
        return Labels(query_identity, gallery_identity, None, None)
    query_group = _labels(query_groups, "query_groups", queries)
    gallery_group = _labels(gallery_groups, "gallery_groups", images)
    if not np.isin(query_group, gallery_group).any():
        return Labels(query_identity, gallery_identity, None, None)
    # Labels may be int64, and integers on the device have 32 bits.
    _, groups = np.unique(np.append(query_group, gallery_group), return_inverse=True)
    groups = groups.astype(np.int32)
    return Labels(query_identity, gallery_identity, groups[:queries], groups[queries:])


def rescale_for_float32(features: list[Features], distance: str) -> list[Features]:
    """Features scaled together, if needed, so that their distances do not overflow."""
    if distance == "cosine":
        return features
    largest = max(max(float(array.max()), -float(array.min())) for array in features)
    if largest == 0 or SAFE_RANGE[0] < largest < SAFE_RANGE[1]:
        return features
    # A power of two changes no digits, and a common factor no order.
    exponent = np.frexp(largest)[1]
    return [np.ldexp(np.asarray(array), -exponent) for array in features]


def one_device(array: np.ndarray | jax.Array) -> Mesh:
    """The mesh of the device that has the array, or else of the default device."""
    devices = array.devices() if isinstance(array, jax.Array) else jnp.zeros(()).devices()
    return Mesh(np.array([min(devices, key=lambda device: device.id)]), ("gallery",))


def exact_integers(labels: ArrayLike, name: str) -> np.ndarray:
    """The labels as int64, so that no two of them become equal when types are mixed.

    Raises:
        ValueError: they are not integers, or int64 cannot represent one.
    """
    array = np.asarray(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} is {array.dtype}{list(array.shape)}: it must be integers.")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} has {array.max()}: it must be integers within int64.")
    return array.astype(np.int64)


def refuse_junk(labels: Labels) -> Labels:
    """Raises InputError if an image of query or gallery has the identity -1."""
    for role, identity in (("query", labels.query_identity), ("gallery", labels.gallery_identity)):
        junk = np.flatnonzero(identity == JUNK)
        if junk.size:
            raise InputError(
                f"{role}_identities holds -1 in {junk.size} rows, first row {junk[0]}: by "
                "Market-1501's convention these are junk images, which are neither matches nor "
                "distractors; leave them out."
            )
    return labels


def _labels(labels: ArrayLike, name: str, length: int) -> np.ndarray:
    array = np.asarray(labels)
    if array.shape != (length,):
        raise ValueError(
            f"{name} is {array.dtype}{list(array.shape)}: it must be [{length}] integers."
        )
    return exact_integers(array, name)
