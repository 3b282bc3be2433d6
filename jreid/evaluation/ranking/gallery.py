"""The gallery on the devices: sorted by identity, cut into tiles, with its equal rows marked."""

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt

from jreid.evaluation.ranking.counting import CHUNK, Tile
from jreid.evaluation.ranking.inputs import Features

TILE = 4096  # gallery rows that a device compares at once
TILES_AT_ONCE = 2  # that are prepared
HASHED = 64  # columns that are read to find equal rows


class Partition(NamedTuple):
    """The partition of a gallery sorted by identity into parts, without dividing an identity.

    Part p is tile `p % tiles` of device `p // tiles`.

    Attributes:
        bounds: `[parts + 1]`: part p is the sorted gallery's `bounds[p]` to `bounds[p + 1]`.
        tiles: the number of tiles of each device.
        rows: the most rows of a part, rounded up.
        identities: the most identities of a part, rounded up.
    """

    bounds: Int[np.ndarray, " p"]
    tiles: int
    rows: int
    identities: int

    def pad_parts(self, values: np.ndarray, rows: int, fill: int) -> Int[np.ndarray, "t v"]:
        """Ascending positions in the sorted gallery of each part, by tile, padded to `rows`."""
        parts = np.split(values, np.searchsorted(values, self.bounds[1:-1]))
        filled = [np.pad(part, (0, rows - len(part)), constant_values=fill) for part in parts]
        by_device = np.array(filled).reshape(-1, self.tiles, rows)
        return by_device.swapaxes(0, 1).reshape(self.tiles, -1)


class Gallery(NamedTuple):
    """A gallery on the devices.

    Attributes:
        partition: its partition into tiles.
        tiles: its tiles.
        duplicates: features and offsets of the rows that have equal rows, on each device, if any.
    """

    partition: Partition
    tiles: list[Tile]
    duplicates: tuple[Float[Array, "k d"], Float[Array, " k"]] | None


def put_gallery(
    features: Features,
    order: Int[np.ndarray, " g"],
    identity: Int[np.ndarray, " g"],
    group: Int[np.ndarray, " g"] | None,
    distance: str,
    mesh: Mesh,
) -> Gallery:
    """Puts the rows `order` of the features on the devices, with their `identity` and `group`.

    `identity` is ascending.
    """
    partition = partition_gallery(identity, mesh.size)
    put = functools.partial(
        jax.device_put, device=NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    )
    hashes = np.zeros(len(order), np.uint32)
    number = np.unique(identity, return_inverse=True)[1]
    number -= np.repeat(
        number[partition.bounds[:-1].clip(max=len(order) - 1)], np.diff(partition.bounds)
    )

    def tile(position: Int[np.ndarray, " v"]) -> Tile:
        real = position >= 0
        normalized, half_norm, hash_ = _prepare(put(features[order[position]]), distance)
        hashes[position[real]] = np.asarray(hash_)[real]
        return Tile(
            normalized,
            jnp.where(put(real), half_norm, jnp.inf),
            put(np.where(real, number[position], partition.identities - 1).astype(np.int32)),
            None if group is None else put(group[position].astype(np.int32)),
            None,
        )

    positions = partition.pad_parts(np.arange(len(order)), partition.rows, fill=-1)
    with ThreadPoolExecutor(TILES_AT_ONCE) as executor:  # copying takes one core
        tiles = [*executor.map(tile, positions)]
    duplicate, first = _equal_rows(features, order, hashes, distance)
    if not first.size:
        return Gallery(partition, tiles, None)
    everywhere = NamedSharding(mesh, PartitionSpec())
    reference = _prepare(jax.device_put(features[order[first]], everywhere), distance)[:2]
    layout = partition.pad_parts(np.arange(len(order)), partition.rows, fill=-1)
    duplicates = [np.where(row >= 0, duplicate[row], -1).astype(np.int32) for row in layout]
    tiles = [tile._replace(duplicate=put(row)) for tile, row in zip(tiles, duplicates, strict=True)]
    return Gallery(partition, tiles, reference)


def partition_gallery(identity: Int[np.ndarray, " g"], devices: int) -> Partition:
    """Cuts a sorted gallery into parts of nearly equal size, without dividing an identity.

    All parts are padded to the largest, so they grow with the largest identity, such as many
    distractors of one label: a device has at most 2 G / devices rows and as many as that identity.
    """
    starts = np.flatnonzero(np.append(True, identity[1:] != identity[:-1]))
    starts = np.append(starts, len(identity))
    largest = np.diff(starts).max()
    tiles = -(-len(identity) // int(devices * max(TILE, largest)))
    parts = devices * tiles
    targets = np.arange(1, parts) * len(identity) / parts
    at = np.concatenate([[0], np.searchsorted(starts, targets), [len(starts) - 1]])
    bounds = starts[at]
    rows = round_up(np.diff(bounds).max(), CHUNK)
    return Partition(bounds, tiles, rows, round_up(np.diff(at).max(), 8))


@functools.partial(jax.jit, static_argnames="distance")
def normalize_for(features: Float[Array, "n d"], distance: str) -> Float[Array, "n d"]:
    """Normalizes rows to unit norm for cosine distance; zero rows are unchanged."""
    if distance == "euclidean":
        return features
    scaled = _scaled(features, distance)
    norm = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=1, keepdims=True))
    return scaled / jnp.where(norm == 0, 1, norm)


@functools.partial(jax.jit, static_argnames="distance")
def _prepare(
    features: Float[Array, "n d"], distance: str
) -> tuple[Float[Array, "n d"], Float[Array, " n"], UInt[Array, " n"]]:
    """Features to compare, half their squared norms (0 under cosine distance), and row hashes.

    A hash is a sum of integers, so that equal rows have equal hashes in any order of summing. It
    reads only some columns: rows of equal hash are compared again.
    """
    result = normalize_for(features, distance)
    half_norm = jnp.sum(jnp.square(result), axis=1) / 2
    some = _scaled(features, distance)[:, :: -(-features.shape[1] // HASHED)]
    bits = jax.lax.bitcast_convert_type(jnp.where(some == 0, 0, some), jnp.uint32)
    bits = (bits + jnp.arange(bits.shape[1], dtype=jnp.uint32)[None]) * jnp.uint32(0x9E3779B1)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x85EBCA77)
    hash_ = jnp.sum(bits ^ (bits >> 13), axis=1, dtype=jnp.uint32)
    return result, jnp.zeros_like(half_norm) if distance == "cosine" else half_norm, hash_


def _scaled(features: Any, distance: str) -> Any:
    """Rows that tie if they are equal. Proportional integer rows become equal rows."""
    if distance == "euclidean":
        return features
    largest = jnp.max(jnp.abs(features), axis=1, keepdims=True)
    return features / jnp.where(largest == 0, 1, largest)


def _equal_rows(
    features: Features,
    order: Int[np.ndarray, " g"],
    hashes: UInt[np.ndarray, " g"],
    distance: str,
) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " k"]]:
    """For each row the index of its duplicated row, or -1; and the first row of each duplicate."""
    _, kind, count = np.unique(hashes, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(count[kind] > 1)
    members: dict[bytes, list[int]] = {}
    for some in np.split(suspects, range(TILE, len(suspects), TILE)):
        scaled = np.asarray(_scaled(features[order[some]], distance))
        for row, values in zip(some, np.where(scaled == 0, 0, scaled), strict=True):
            members.setdefault(hashlib.sha256(values.tobytes()).digest(), []).append(row)
    groups = [group for group in members.values() if len(group) > 1]
    duplicate = np.full(len(order), -1)
    for number, group in enumerate(groups):
        duplicate[group] = number
    return duplicate, np.array([group[0] for group in groups], int)


def round_up(number: int | np.integer, multiple: int) -> int:
    """The next multiple of a number."""
    return -(-int(number) // multiple) * multiple
