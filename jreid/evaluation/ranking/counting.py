"""Counts, on the devices, the gallery images that are at least as near as each match.

Distances are `[gallery, query]` tiles, so that queries fill a processor's vectors; each device has
its own gallery rows, and only counts and distances of matches are sent between devices.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

CHUNK = 16  # gallery rows compared at once, few enough to stay in the processor's L1 cache
OUT_OF_RANGE = 2**30  # a row beyond any tile


class Tile(NamedTuple):
    """Some of the gallery, sorted by identity: g rows on each of n devices.

    No identity is divided between tiles or devices.

    Attributes:
        features: `[n * g, D]` float32.
        offset: `[n * g]` half the squared norm, 0 under cosine distance, infinite in padding.
        identity: `[n * g]` int32: 0, 1, ... on each device.
        group: `[n * g]` int32, or None without groups.
        duplicate: `[n * g]` int32: the index of the duplicated row that this row equals, or -1;
            None without such rows.
    """

    features: Float[Array, "g d"]
    offset: Float[Array, " g"]
    identity: Int[Array, " g"]
    group: Int[Array, " g"] | None
    duplicate: Int[Array, " g"] | None


@jax.jit
def distances(
    query: Float[Array, "b d"], features: Float[Array, "g d"], offset: Float[Array, " g"]
) -> Float[Array, "g b"]:
    """Cosine or half the squared Euclidean distances, up to a constant of the query."""
    return offset[:, None] - jnp.matmul(features, query.T, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnames="mesh")
def tile_distances(
    query: Float[Array, "b d"],
    group: Int[Array, " b"] | None,
    tile: Tile,
    duplicates: Float[Array, "k b"] | None,
    mesh: Mesh,
) -> Float[Array, "g b"]:
    """A tile's distances; infinite in padding and where a query ignores an image.

    A matrix product may round equal rows differently in different tiles, so rows that equal others
    take their distances from `duplicates`.
    """

    def local(
        query: Array, group: Array | None, tile: Tile, duplicates: Array | None
    ) -> Float[Array, "g b"]:
        distance = distances(query, tile.features, tile.offset)
        if tile.duplicate is not None and duplicates is not None:
            distance = jnp.where(tile.duplicate[:, None] >= 0, duplicates[tile.duplicate], distance)
        if tile.group is not None and group is not None:
            distance = jnp.where(tile.group[:, None] == group[None], jnp.inf, distance)
        return distance

    rows, all_ = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = (all_, all_, rows, all_)
    return _over(mesh, local, specs, rows)(query, group, tile, duplicates)


@functools.partial(jax.jit, static_argnames=("most", "mesh"))
def match_distances(
    distance: Float[Array, "g b"],
    first: Int[Array, "n b"],
    number: Int[Array, " b"],
    rows: Int[Array, " v"] | None,
    most: int,
    mesh: Mesh,
) -> Float[Array, "p b"]:
    """Each query's distances to the `number` rows from `first`, filled up to `most` with infinity.

    Args:
        first: the first of a query's matches on each device; beyond the tile if they are elsewhere.
        rows: a trial's rows of the tile, which `first` counts; None: all.
    """

    def local(distance: Array, first: Array, number: Array, rows: Array | None) -> Array:
        return jax.lax.pmin(own_matches(distance, first[0], number, rows, most), mesh.axis_names)

    split, all_ = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = (split, split, all_, split)
    return _over(mesh, local, specs, all_)(distance, first, number, rows)


def own_matches(
    distance: Float[Array, "g b"],
    first: Int[Array, " b"],
    number: Int[Array, " b"],
    rows: Int[Array, " v"] | None,
    most: int,
) -> Float[Array, "p b"]:
    """As `match_distances`, on one device."""
    slot = jnp.arange(most)[:, None]
    row = jnp.where(slot < number[None], first[None] + slot, OUT_OF_RANGE)
    if rows is not None:
        row = rows.at[row].get(mode="fill", fill_value=OUT_OF_RANGE)
    return jnp.take_along_axis(distance, row, axis=0, mode="fill", fill_value=jnp.inf)


class Counts(NamedTuple):
    """The counts of images before a query's matches; an infinitely far match does not count.

    Attributes:
        images: `[P, B]` images of others at a match's distance or nearer.
        identities: `[B]` identities at the nearest match's distance or nearer, its own included.
    """

    images: Int[Array, "p b"]
    identities: Int[Array, " b"]


@jax.jit
def no_counts(match: Float[Array, "p b"]) -> Counts:
    """The initial counts; they subtract the matches, which the tiles' counts include."""
    return Counts(-count_before(match, match), jnp.zeros(match.shape[1], jnp.int32))


@functools.partial(jax.jit, static_argnames=("identities", "mesh"))
def count_tile(
    so_far: Counts,
    distance: Float[Array, "g b"],
    match: Float[Array, "p b"],
    identity: Int[Array, " g"],
    rows: Int[Array, " v"] | None,
    identities: int | None,
    mesh: Mesh,
) -> Counts:
    """Adds a tile's counts. `identities`, the most on a device, is None if they are not needed."""

    def local(distance: Array, match: Array, identity: Array, rows: Array | None) -> Counts:
        if rows is not None:
            distance = distance.at[rows].get(mode="fill", fill_value=jnp.inf)
            identity = identity.at[rows].get(mode="clip")
        return jax.lax.psum(own_counts(distance, match, identity, identities), mesh.axis_names)

    split, all_ = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = (split, all_, split, split)
    added = _over(mesh, local, specs, all_)(distance, match, identity, rows)
    return jax.tree.map(jnp.add, so_far, added)


def own_counts(
    distance: Float[Array, "g b"],
    match: Float[Array, "p b"],
    identity: Int[Array, " g"],
    identities: int | None,
) -> Counts:
    """A tile's counts on one device."""
    images = count_before(distance, match)
    if identities is None:
        return Counts(images, jnp.zeros_like(images[0]))
    nearest = jax.ops.segment_min(distance, identity, identities, indices_are_sorted=True)
    ahead = jnp.sum(nearest <= match.min(axis=0)[None], axis=0, dtype=jnp.int32)
    return Counts(images, ahead)


def count_before(distance: Float[Array, "g b"], match: Float[Array, "p b"]) -> Int[Array, "p b"]:
    """The number of distances up to a match's; g is a multiple of CHUNK."""
    # On a GPU a loop step costs more time than counting its chunk.
    return jax.lax.platform_dependent(distance, match, cpu=count_by_chunks, default=count_at_once)


def count_by_chunks(distance: Float[Array, "g b"], match: Float[Array, "p b"]) -> Int[Array, "p b"]:
    """The counts by a loop over chunks of a few rows."""

    def add(count: Array, chunk: Array) -> tuple[Array, None]:
        return count + count_at_once(chunk, match), None

    chunks = distance.reshape(-1, CHUNK, distance.shape[1])
    return jax.lax.scan(add, jnp.zeros(match.shape, jnp.int32), chunks)[0]


def count_at_once(distance: Float[Array, "g b"], match: Float[Array, "p b"]) -> Int[Array, "p b"]:
    """The counts by one reduction, which a compiler fuses with the comparison."""
    return jnp.sum(distance[:, None] <= match[None], axis=0, dtype=jnp.int32)


def _over(mesh: Mesh, function: Callable, in_specs: Any, out_specs: Any) -> Callable:
    # JAX's check of values that vary over devices rejects scans that start from zeros.
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
