"""Neighbors and codes of k-reciprocal re-ranking, computed on the devices.

Each function takes numbers of images, divided over the mesh, computes something for each of them in
blocks, and needs the other arrays whole on each device. Lists name images and have a fixed width:
`NOBODY` fills them up.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from jreid.evaluation.ranking.distance_tiles import SMALLEST
from jreid.evaluation.ranking.gallery import round_up
from jreid.evaluation.ranking.nearest import GROUP, Images, k_least, squared_distances

NOBODY = 2**30
AT_ONCE = 2**25  # components of features that are subtracted at once


def over_rows(
    function: Callable[..., Any], rows: Int[Array, " r"], block: int, mesh: Mesh, *whole: Any
) -> Any:
    """The results `[r, ...]` of a function of `[block]` rows, each device having its own rows."""

    def local(rows: Array, *whole: Any) -> Any:
        found = jax.lax.map(lambda some: function(some, *whole), rows.reshape(-1, block))
        return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), found)

    split, all_ = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = (split, *(all_ for _ in whole))
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return mapped(rows, *whole)


@functools.partial(jax.jit, static_argnames=("sets", "k", "Q", "N", "block", "mesh"))
def neighbors(
    rows: Int[Array, " r"],
    images: Images,
    sets: tuple[tuple[int, int], ...],
    k: int,
    Q: int,
    N: int,
    block: int,
    mesh: Mesh,
) -> tuple[list[Int[Array, "r k"]], Float[Array, "r 2"]]:
    """The nearest of each set of candidates, and the largest distances to queries and gallery.

    Args:
        images: all N, and padding.
        sets: the first candidate of each, and the one after its last.
    """

    def compare(rows: Array, images: Images) -> tuple[list[Array], Array]:
        mine = Images(images.features[rows], images.norm[rows])
        distance = jnp.maximum(squared_distances(mine, images), SMALLEST)
        largest = [
            jnp.max(jnp.where(part == jnp.inf, 0, part), axis=1, initial=0)
            for part in (distance[:, :Q], distance[:, Q:N])
        ]
        itself = rows[:, None] == jnp.arange(distance.shape[1])[None]
        distance = jnp.where(itself, 0, distance)
        lists = []
        for first, last in sets:
            n = last - first
            padding = ((0, 0), (0, round_up(max(n, k), GROUP) - n))
            part = jnp.pad(distance[:, first:last], padding, constant_values=jnp.inf)
            at, value = k_least(part, k)
            lists.append(jnp.where(value < jnp.inf, at + first, NOBODY).astype(jnp.int32))
        return lists, jnp.stack(largest, axis=1)

    return over_rows(compare, rows, block, mesh, images)


@jax.jit
def reciprocal(lists: Int[Array, "n m"]) -> Int[Array, "n m"]:
    """The images of each list whose own list names this image."""
    mine = jnp.arange(len(lists))[:, None, None]
    theirs = lists.at[lists].get(mode="fill", fill_value=NOBODY)
    return jnp.where((theirs == mine).any(axis=2), lists, NOBODY)


@functools.partial(jax.jit, static_argnames=("block", "mesh"))
def expanded(
    rows: Int[Array, " r"],
    sets: Int[Array, "n m"],
    half: Int[Array, "n h"],
    block: int,
    mesh: Mesh,
) -> tuple[Int[Array, "r e"], Int[Array, " r"]]:
    """The sets with the `half` of members of which more than two thirds lie in the set.

    Returns:
        Ascending numbers, each once, and how many.
    """

    def expand(rows: Array, sets: Array, half: Array) -> tuple[Array, Array]:
        own = sets[rows]
        more = half.at[own].get(mode="fill", fill_value=NOBODY)
        named = more < NOBODY
        inside = named & (more[..., None] == own[:, None, None, :]).any(axis=3)
        grows = 3 * inside.sum(axis=2) > 2 * named.sum(axis=2)
        added = jnp.where(grows[..., None], more, NOBODY).reshape(len(own), -1)
        members = _first_of_equals(jnp.sort(jnp.concatenate([own, added], axis=1), axis=1))
        return jnp.sort(members, axis=1), (members < NOBODY).sum(axis=1)

    return over_rows(expand, rows, block, mesh, sets, half)


@functools.partial(jax.jit, static_argnames=("block", "mesh"))
def weights(
    rows: Int[Array, " r"],
    members: Int[Array, "n e"],
    images: Float[Array, "n d"],
    largest: Float[Array, " n"],
    block: int,
    mesh: Mesh,
) -> Float[Array, "r e"]:
    """Gaussian weights of each image's members, which sum to 1."""

    def weigh(rows: Array, members: Array, images: Array, largest: Array) -> Array:
        own = members[rows]
        apart = images[rows][:, None] - images.at[own].get(mode="fill", fill_value=0)
        squared = jnp.sum(jnp.square(apart), axis=2)
        weight = jnp.where(own < NOBODY, jnp.exp(-squared / largest[rows, None]), 0)
        total = weight.sum(axis=1, keepdims=True)
        return weight / jnp.where(total == 0, 1, total)

    return over_rows(weigh, rows, block, mesh, members, images, largest)


@functools.partial(jax.jit, static_argnames=("block", "mesh"))
def count_averaged(
    rows: Int[Array, " r"],
    averaged: Int[Array, "n a"],
    members: Int[Array, "n e"],
    block: int,
    mesh: Mesh,
) -> Int[Array, " r"]:
    """The number of entries of each image's averaged code."""

    def count(rows: Array, averaged: Array, members: Array) -> Array:
        return (_first_of_equals(jnp.sort(_of(averaged[rows], members), axis=1)) < NOBODY).sum(1)

    return over_rows(count, rows, block, mesh, averaged, members)


@functools.partial(jax.jit, static_argnames=("most", "block", "mesh"))
def average(
    rows: Int[Array, " r"],
    averaged: Int[Array, "n a"],
    members: Int[Array, "n e"],
    weight: Float[Array, "n e"],
    most: int,
    block: int,
    mesh: Mesh,
) -> tuple[Int[Array, "r m"], Float[Array, "r m"]]:
    """The mean of the codes of each image's `averaged`, with up to `most` entries."""

    def mean(rows: Array, averaged: Array, members: Array, weight: Array) -> tuple[Array, Array]:
        nearest = averaged[rows]
        entries = _of(nearest, members), _of(nearest, weight, fill=0)
        index, value = jax.lax.sort(entries, dimension=1, num_keys=1)
        total = value
        for ahead in range(1, nearest.shape[1]):  # an image has at most one entry in each code
            same = index[:, ahead:] == index[:, :-ahead]
            more = jnp.where(same, value[:, ahead:], 0)
            total = total + jnp.pad(more, ((0, 0), (0, ahead)))
        index = _first_of_equals(index)
        index, total = jax.lax.sort((index, total), dimension=1, num_keys=1)
        total = jnp.where(index < NOBODY, total / nearest.shape[1], 0)
        return index[:, :most], total[:, :most]

    return over_rows(mean, rows, block, mesh, averaged, members, weight)


def _of(nearest: Int[Array, "b a"], values: Any, fill: int = NOBODY) -> Any:
    found = values.at[nearest].get(mode="fill", fill_value=fill)
    return found.reshape(len(nearest), -1)


def _first_of_equals(index: Int[Array, "b n"]) -> Int[Array, "b n"]:
    """Sorted numbers, with NOBODY in the place of repeated ones."""
    repeated = jnp.pad(index[:, 1:] == index[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(repeated, NOBODY, index)
