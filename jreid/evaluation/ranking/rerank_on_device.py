"""Re-ranking on the devices: the host gets the sizes of lists, and no array that grows with Q x G.

Of several processes each computes the lists of some images, which they then exchange.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jreid.evaluation.ranking import device_codes
from jreid.evaluation.ranking.device_codes import NOBODY, reciprocal
from jreid.evaluation.ranking.distance_tiles import SMALLEST
from jreid.evaluation.ranking.gallery import normalize_for, round_up
from jreid.evaluation.ranking.inputs import Features
from jreid.evaluation.ranking.nearest import Images, put, squared_distances
from jreid.evaluation.ranking.rerank_options import AMONG_QUERIES, BY_SIDE, Rerank
from jreid.evaluation.ranking.share import Share

QUERIES_AT_ONCE = 256  # on each device, from codes to distances
ROUNDED = 32  # lengths of lists are rounded up, so that few programs are compiled

Lists = dict[str, Int[Array, "n k"]]
Codes = tuple[Int[Array, "n e"], Float[Array, "n e"]]


class Rows:
    """All images on the devices, and this process's share of their numbers."""

    def __init__(
        self,
        query: Features,
        gallery: Features,
        distance: str,
        mesh: Mesh,
        share: Share,
        block: int,
    ) -> None:
        self.Q, self.N, self.mesh, self._share = len(query), len(query) + len(gallery), mesh, share
        # Of one size for any number of devices and processes, since rounding may depend on it.
        self.block = min(block, self.N)
        padded = round_up(self.N, mesh.size * share.of * self.block)
        sides = [normalize_for(side, distance) for side in (query, gallery)]
        self.images = put(jnp.concatenate(sides), padded, distance, mesh)
        own = np.array_split(np.arange(padded, dtype=np.int32), share.of)[share.number]
        self.own = jax.device_put(own, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))

    def everywhere(self, parts: Any) -> Any:
        """Arrays `[own rows, ...]` of each process, of all rows on each device."""
        if self._share.of > 1:
            arrays, tree = jax.tree.flatten(parts)
            found = self._share.gather(lambda: jax.device_get(arrays))
            parts = tree.unflatten([part.reshape(-1, *part.shape[2:]) for part in found])
        return jax.device_put(parts, NamedSharding(self.mesh, PartitionSpec()))

    def small_block(self, components: int) -> int:
        """The rows of a block, fewer if they need many components of features at once."""
        most = max(1, device_codes.AT_ONCE // components)
        return next(size for size in range(min(self.block, most), 0, -1) if self.block % size == 0)


def rerank_on_device(
    query: Features,
    gallery: Features,
    rerank: Rerank,
    distance: str,
    mesh: Mesh,
    share: Share,
    block: int,
) -> Iterator[tuple[slice, Float[Array, "b g"]]]:
    """As `rerank_checked`; the distances stay on the devices."""
    rows = Rows(query, gallery, distance, mesh, share, block)
    Q, N = rows.Q, rows.N
    candidates = _candidates(rerank, Q, N)
    found = device_codes.neighbors(
        rows.own, rows.images, (*candidates.values(),), rerank.k1 + 1, Q, N, rows.block, mesh
    )
    lists, farthest = rows.everywhere(found)
    farthest = jnp.where(farthest <= SMALLEST, 1, farthest)  # as `codes.relative_to`
    largest = farthest.max(axis=1)
    domains = _domains(rerank, dict(zip(candidates, lists, strict=True)), farthest, Q, N)
    codes = [_codes(rows, *domain) for domain in domains]
    everything = rows.images, largest, [*codes]
    width = min(QUERIES_AT_ONCE, block, Q) * mesh.size
    for start in share.own(range(0, Q, width)):
        stop = min(start + width, Q)
        some = jax.device_put(
            np.minimum(np.arange(start, start + width, dtype=np.int32), Q - 1),
            NamedSharding(mesh, PartitionSpec(mesh.axis_names)),
        )
        tile = _final(some, *everything, rerank.weight, Q, N, mesh)
        yield slice(start, stop), tile[: stop - start]


def _candidates(rerank: Rerank, Q: int, N: int) -> dict[str, tuple[int, int]]:
    """The sets among which neighbors are sought, as the first number and the one after the last."""
    sides = {"queries": (0, Q), "gallery": (Q, N)}
    if rerank.kind in BY_SIDE:
        return sides
    if rerank.kind in AMONG_QUERIES:
        return {"near": (0, Q)}
    both = rerank.kind == "extended" or rerank.k3 is not None
    return {"near": (0, N)} | (sides if both else {})


def _domains(
    rerank: Rerank, lists: Lists, farthest: Float[Array, "n 2"], Q: int, N: int
) -> Iterator[tuple[Array, Array, Array | None, Array]]:
    """For each domain as in `codes`: the sets, the half sets, what is averaged, the scale."""
    k1, half = rerank.k1, round(rerank.k1 / 2)
    of_query = jnp.arange(len(farthest)) < Q

    def by_side(k: int) -> Array:
        """Reciprocal neighbors where each side is looked at by itself."""
        names = "queries", "gallery"
        return reciprocal(jnp.concatenate([lists[name][:, : k + 1] for name in names], axis=1))

    if rerank.kind in BY_SIDE:
        for side, name in ((1, "gallery"), (0, "queries")):
            sets, halves = (
                _only(one, (one >= Q) == bool(side)) for one in (by_side(k1), by_side(half))
            )
            averaged = lists[name][:, : rerank.k2]
            if rerank.kind == "constrained_released":
                averaged = _slipped(averaged, side, Q, N - Q)
            yield sets, halves, averaged if rerank.k2 > 1 else None, farthest[:, side]
        return
    near = lists["near"]
    sets = reciprocal(near)
    if rerank.kind == "extended":
        across = by_side(k1)
        across = _only(across, (across < Q) != of_query[:, None])
        sets = jnp.concatenate([sets, across], axis=1)
    averaged = near[:, : rerank.k2]
    if rerank.k3 is not None:
        of_each = lists["queries"][:, : rerank.k2 - rerank.k3], lists["gallery"][:, : rerank.k3]
        averaged = jnp.concatenate(of_each, axis=1)
    scale = farthest[:, 0] if rerank.kind == "divided" else farthest.max(axis=1)
    halves = reciprocal(near[:, : half + 1])
    yield sets, halves, averaged if rerank.k2 > 1 else None, scale


def _codes(
    rows: Rows,
    sets: Int[Array, "n m"],
    half: Int[Array, "n h"],
    averaged: Int[Array, "n a"] | None,
    scale: Float[Array, " n"],
) -> Codes:
    """The codes of all images, as numbers of images and their weights."""
    own, block, mesh = rows.own, rows.block, rows.mesh
    members, number = device_codes.expanded(own, sets, half, block, mesh)
    members, number = rows.everywhere((members, number))
    members = members[:, : _rounded(number, members.shape[1])]
    features = rows.images.features
    few = rows.small_block(members.shape[1] * features.shape[1])
    weight = device_codes.weights(own, members, features, scale, few, mesh)
    weight = rows.everywhere(weight)
    if averaged is None:
        return members, weight
    number = device_codes.count_averaged(own, averaged, members, block, mesh)
    most = _rounded(rows.everywhere(number), averaged.shape[1] * members.shape[1])
    code = device_codes.average(own, averaged, members, weight, most, block, mesh)
    return rows.everywhere(code)


def _rounded(numbers: Int[Array, " n"], most: int) -> int:
    """A length for all lists: the one thing that the host has to know of them."""
    return min(most, round_up(max(1, int(numbers.max())), ROUNDED))


def _only(lists: Int[Array, "n m"], kept: Array) -> Int[Array, "n m"]:
    return jnp.where(kept, lists, NOBODY)


def _slipped(averaged: Int[Array, "n m"], side: int, Q: int, G: int) -> Array:
    """As `codes._slipped`."""
    if side == 1:
        return averaged - Q
    return jnp.where(averaged < G, averaged + Q, averaged - G)


@functools.partial(jax.jit, static_argnames=("weight", "Q", "N", "mesh"))
def _final(
    rows: Int[Array, " b"],
    images: Images,
    largest: Float[Array, " n"],
    codes: list[Codes],
    weight: float,
    Q: int,
    N: int,
    mesh: Mesh,
) -> Float[Array, "b g"]:
    """The re-ranked distances of some queries, divided over the mesh, to the gallery."""

    def local(rows: Array, images: Images, largest: Array, codes: list[Codes]) -> Array:
        shared = [_shared(rows, *code, Q, N) for code in codes]
        overlap = functools.reduce(jnp.add, [part / (2 - part) for part in shared]) / len(codes)
        queries = Images(images.features[rows], images.norm[rows])
        gallery = Images(images.features[Q:N], images.norm[Q:N])
        squared = jnp.maximum(squared_distances(queries, gallery), SMALLEST)
        return (1 - weight) * (1 - overlap.T) + weight / largest[rows, None] * squared

    split, all_ = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = (split, all_, all_, all_)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return mapped(rows, images, largest, codes)


def _shared(
    rows: Int[Array, " b"], index: Int[Array, "n e"], weight: Float[Array, "n e"], Q: int, N: int
) -> Float[Array, "g b"]:
    """The sums over images of the smaller of each query's and gallery image's weights.

    The queries' codes are dense, and the gallery's entries choose from them.
    """
    column = jnp.arange(len(rows))[:, None]
    dense = jnp.zeros((len(index), len(rows)), jnp.float32)
    dense = dense.at[index[rows], column].set(weight[rows], mode="drop")

    found = dense.at[index[Q:N]].get(mode="fill", fill_value=0)
    return jnp.minimum(found, weight[Q:N, :, None]).sum(axis=1)
