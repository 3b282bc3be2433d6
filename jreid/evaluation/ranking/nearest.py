"""The nearest gallery images, exactly, by blocks of distances."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jreid.errors import InputError
from jreid.evaluation.ranking.gallery import normalize_for, round_up
from jreid.evaluation.ranking.inputs import (
    Features,
    check_pair,
    one_device,
    rescale_for_float32,
)

TILE = 8192  # gallery rows that a device compares at once
GROUP = 32  # neighboring images of which the nearest is found first
# Relative to the squared norms: below this float32 cannot distinguish a distance from 0. The sum of
# 2,048 equal numbers has an error of up to 2**-15.7, depending on the processor's vector registers.
NOISE = 2.0**-15


class Images(NamedTuple):
    """Features on the devices and their squared norms, which are infinite for padding."""

    features: Float[Array, "n d"]
    norm: Float[Array, " n"]


def nearest(
    query: ArrayLike,
    gallery: ArrayLike,
    k: int,
    *,
    distance: str = "cosine",
    block: int = 512,
    mesh: Mesh | None = None,
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The k nearest gallery images of every query, nearest first; exact for every block size.

    At equal float32 distance the lower index comes first. Distances within the rounding error of 0
    are 0, so that equal images tie.

    Args:
        query: `[Q, D]` floating-point features, of numpy or jax.
        gallery: `[G, D]` floating-point features.
        k: 1 to G.
        distance: `cosine`, 1 less the cosine (1 for a zero feature), or `euclidean`.
        block: queries compared at once, with 8,192 gallery images on each device.
        mesh: its devices share the gallery; None: one device holds it.

    Returns:
        Rows of the gallery `[Q, k]` int32, and their distances `[Q, k]` float32.

    Raises:
        InputError: k is not 1 to G, features hold NaN or infinity, or their squares overflow.
        ValueError: shapes, types or options do not fit.

    >>> rows, distances = nearest(np.eye(2), np.array([[0.0, 2.0], [5.0, 0.0]]), k=1)
    >>> rows.tolist(), distances.tolist()
    ([[1], [0]], [[0.0], [0.0]])
    """
    query, gallery = check_pair(query, gallery, distance, block)
    G = len(gallery)
    if not 1 <= k <= G:
        raise InputError(f"k is {k}, but the gallery has {G} images: choose 1 to {G}.")
    if rescale_for_float32([query, gallery], distance)[0] is not query:
        raise InputError(
            "The features are too large or too small for float32 distances: divide them all by "
            "their largest value."
        )
    mesh = mesh or one_device(gallery)
    return nearest_among(query, normalize_for(gallery, distance), k, distance, block, mesh)


def nearest_among(
    query: Features, gallery: Features, k: int, distance: str, block: int, mesh: Mesh
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """As `nearest`, of checked float32 queries, in a gallery that `normalize_for` has made."""
    Q, G = len(query), len(gallery)
    rows = round_up(max(-(-G // mesh.size), k), GROUP)  # a device's
    tile = round_up(max(-(-rows // -(-rows // TILE)), k), GROUP)
    rows = round_up(rows, tile)
    block = min(block, round_up(Q, GROUP))
    images = put(gallery, rows * mesh.size, distance, mesh, split=True)
    parts = []
    for start in range(0, Q, block):
        some = normalize_for(query[start : start + block], distance)
        parts.append(_nearest(put(some, block, distance, mesh), images, k, tile, distance, mesh))
    index, squared = (np.concatenate(part)[:Q] for part in zip(*parts, strict=True))
    return index, squared / 2 if distance == "cosine" else np.sqrt(squared)


def put(features: Features, rows: int, distance: str, mesh: Mesh, split: bool = False) -> Images:
    """Features for comparison on the devices, padded to `rows`; replicated or divided."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names if split else None))
    padding = ((0, rows - len(features)), (0, 0))
    pad = jnp.pad if isinstance(features, jax.Array) else np.pad
    filled = features if len(features) == rows else pad(features, padding)
    on_devices = jax.device_put(filled, sharding)
    real = jax.device_put(np.arange(rows) < len(features), sharding)
    return Images(on_devices, _squared_norm(on_devices, real, distance))


@jax.jit
def squared_distances(a: Images, b: Images) -> Float[Array, "n m"]:
    """Squared Euclidean distances in float32; infinite for padding."""
    product = jnp.matmul(a.features, b.features.T, precision=jax.lax.Precision.HIGHEST)
    norms = a.norm[:, None] + b.norm[None]
    squared = norms - 2 * product
    return jnp.where(squared < NOISE * norms, jnp.where(norms == jnp.inf, norms, 0), squared)


@functools.partial(jax.jit, static_argnames="distance")
def _squared_norm(
    features: Float[Array, "n d"], real: Bool[Array, " n"], distance: str
) -> Float[Array, " n"]:
    squared = jnp.sum(jnp.square(features), axis=1)
    if distance == "cosine":  # exactly, so that a zero feature has the same distance to all others
        squared = jnp.round(squared)
    return jnp.where(real, squared, jnp.inf)


@functools.partial(jax.jit, static_argnames=("k", "tile", "distance", "mesh"))
def _nearest(
    query: Images, gallery: Images, k: int, tile: int, distance: str, mesh: Mesh
) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """The k nearest of each device's own rows, and then the k nearest of all of these."""
    axis = mesh.axis_names
    if distance == "cosine":  # a zero feature too is at squared distance 2 from unit vectors
        query, gallery = (
            images._replace(norm=jnp.where(images.norm == jnp.inf, jnp.inf, 1.0))
            for images in (query, gallery)
        )

    def local(query: Images, rows: Images) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
        tiles = jax.tree.map(lambda x: x.reshape(-1, tile, *x.shape[1:]), rows)
        first = jax.lax.axis_index(axis) * len(rows.norm)

        def step(_: None, some: Images) -> tuple[None, tuple[Array, Array]]:
            return None, k_least(squared_distances(query, some), k)

        _, (at, least) = jax.lax.scan(step, None, tiles)
        at = at + (first + tile * jnp.arange(len(at)))[:, None, None]
        at, least = (jax.lax.all_gather(x, axis, tiled=True) for x in (at, least))
        at, least = (x.swapaxes(0, 1).reshape(len(query.norm), -1) for x in (at, least))
        order, least = _top(least, k)
        return jnp.take_along_axis(at, order, axis=1), least

    shared = PartitionSpec(axis)
    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(PartitionSpec(), shared),
        out_specs=PartitionSpec(),
        check_vma=False,
    )(query, gallery)


def k_least(values: Float[Array, "b n"], k: int) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """Columns and values of each row's k least, the first of equal ones.

    The k groups with the least minima contain them, also if a group has more than one value.
    """
    B, n = values.shape
    if n // GROUP <= k:
        return _top(values, k)
    groups = values.reshape(B, n // GROUP, GROUP)
    # Sorted by column, so that equal values stay in this order.
    chosen = jnp.sort(_top(groups.min(axis=2), k)[0], axis=1)
    kept = jnp.take_along_axis(groups, chosen[:, :, None], axis=1).reshape(B, k * GROUP)
    at, least = _top(kept, k)
    return jnp.take_along_axis(chosen, at // GROUP, axis=1) * GROUP + at % GROUP, least


def _top(values: Float[Array, "b n"], k: int) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    negative, at = jax.lax.top_k(-values, k)
    return at, -negative
