"""Each image's nearest images among queries and gallery, from tiles of distances.

A tile serves both of its sides. The devices compute the tiles, and the host selects from them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt

from jreid.evaluation.ranking.gallery import normalize_for
from jreid.evaluation.ranking.inputs import Features
from jreid.evaluation.ranking.nearest import Images, put, squared_distances
from jreid.evaluation.ranking.share import ALONE, Share

SMALLEST = 2.0**-126  # an image is nearer to itself than to its equals
NONE = np.uint64(0x7F800000_FFFFFFFF)  # the key of an image infinitely far
CACHED_DISTANCES = 2**26  # distances between queries and gallery that are not computed twice
PREFETCHED_TILES = 4  # tiles that a device computes before they are asked for


class Block(NamedTuple):
    """Some images: their numbers, and their features on each device, padded to a common size."""

    rows: slice
    images: list[Images]


class Neighbors(NamedTuple):
    """Each image's nearest candidates, the nearest first and ties by number.

    Attributes:
        index: `[N, k]` int32; the image itself, if it is a candidate, comes first; -1 where there
            are fewer candidates.
        distance: `[N, k]` squared distances; infinite there.
    """

    index: Int[np.ndarray, "n k"]
    distance: Float[np.ndarray, "n k"]


class Found(NamedTuple):
    """The neighbors among each set of candidates, and what else the comparison has found.

    Attributes:
        lists: the neighbors among each set of candidates.
        farthest: `[2, N]` the largest squared distance to any query and to any gallery image that
            was compared.
        kept: some tiles of queries and gallery by the first rows of both, at most
            `CACHED_DISTANCES` distances in all.
    """

    lists: list[Neighbors]
    farthest: Float[np.ndarray, "2 n"]
    kept: dict[tuple[int, int], Float[np.ndarray, "a b"]]


def put_blocks(
    features: Features, first: int, distance: str, block: int, mesh: Mesh
) -> list[Block]:
    """Puts the images, numbered from `first`, on the devices in equal blocks up to `block`."""
    N = len(features)
    size = -(-N // -(-N // block))
    single = [Mesh(np.array([device]), ("gallery",)) for device in mesh.devices.flat]
    blocks = []
    for start in range(0, N, size):
        part = normalize_for(features[start : start + size], distance)
        images = [put(part, size, distance, device) for device in single]
        blocks.append(Block(slice(first + start, first + start + len(part)), images))
    return blocks


def tiles(pairs: Iterable[tuple[Block, Block]]) -> Iterator[Float[np.ndarray, "a b"]]:
    """The squared distances of each pair of blocks; the devices compute some tiles in advance."""
    waiting: deque[tuple[Array, Block, Block]] = deque()
    for number, (a, b) in enumerate(pairs):
        on = number % len(a.images)
        waiting.append((_distances(a.images[on], b.images[on]), a, b))
        if len(waiting) > PREFETCHED_TILES * len(a.images):
            yield _on_host(*waiting.popleft())
    for computed in waiting:
        yield _on_host(*computed)


def distance_blocks(
    query: Features,
    gallery: Features,
    distance: str,
    mesh: Mesh,
    share: Share = ALONE,
    block: int = 1024,
) -> Iterator[tuple[slice, Float[np.ndarray, "b g"]]]:
    """The squared distances to the whole gallery, by blocks of this process's queries."""
    queries, images = (put_blocks(side, 0, distance, block, mesh) for side in (query, gallery))
    if distance == "cosine":  # a zero feature too is at squared distance 2 from unit vectors
        queries, images = map(_of_unit_norm, (queries, images))
    own = share.own(queries)
    computed = query_gallery_tiles(own, images, {})
    for a in own:
        yield a.rows, np.hstack([next(computed) for _ in images])


def find_neighbors(
    queries: list[Block],
    gallery: list[Block],
    k: int,
    candidates: Sequence[list[Block]],
    share: Share = ALONE,
) -> Found:
    """Compares all images with each set of candidates: the queries, the gallery, or all images.

    A tile serves both of its sides, so only half of the N x N distances are computed. Of several
    processes each computes its share of the tiles; then they exchange what they have found.
    """
    kept: dict[tuple[int, int], Float[np.ndarray, "a b"]] = {}
    found = share.gather(lambda: _compare(queries, gallery, k, candidates, share, kept))
    *keys, farthest = found
    merged = [np.sort(np.concatenate(near, axis=1), axis=1)[:, :k] for near in keys]
    return Found([_neighbors(near) for near in merged], farthest.max(axis=0), kept)


def _own_pairs(
    queries: list[Block], asked: list[Block], blocks: list[Block], share: Share
) -> list[tuple[Block, Block]]:
    """The pairs of blocks that this process compares; of queries and gallery, its own queries'."""
    starts = [block.rows.start for block in queries]
    pairs = [(a, b) for i, a in enumerate(asked) for b in blocks[i:]]
    apart, within = [], []
    for a, b in pairs:
        a_first = a.rows.start in starts
        (apart if a_first and b.rows.start not in starts else within).append((a, b))
    mine = [starts.index(a.rows.start) % share.of == share.number for a, _ in apart]
    return [*(pair for pair, own in zip(apart, mine, strict=True) if own), *share.own(within)]


def _compare(
    queries: list[Block],
    gallery: list[Block],
    k: int,
    candidates: Sequence[list[Block]],
    share: Share,
    kept: dict[tuple[int, int], Float[np.ndarray, "a b"]],
) -> list[np.ndarray]:
    """The keys of each set's neighbors, and the `farthest`, by this process's tiles.

    Puts some tiles into `kept`.
    """
    blocks = queries + gallery
    N, Q = blocks[-1].rows.stop, gallery[0].rows.start
    keys = [np.full((N, k), NONE) for _ in candidates]
    sets = [{block.rows.start for block in some} for some in candidates]
    farthest = np.zeros((2, N), np.float32)
    asked = [block for block in blocks if any(block.rows.start in some for some in sets)]
    pairs = _own_pairs(queries, asked, blocks, share)
    room = CACHED_DISTANCES
    for (a, b), tile in zip(pairs, tiles(pairs), strict=True):
        for rows, others, axis in ((a.rows, b.rows, 1), (b.rows, a.rows, 0)):
            largest = farthest[int(others.start >= Q), rows]
            np.maximum(largest, tile.max(axis=axis), out=largest)
        if a.rows.start < Q <= b.rows.start and tile.size <= room:
            kept[a.rows.start, b.rows.start] = tile
            room -= tile.size
        if a is b:
            tile = tile.copy()
            np.fill_diagonal(tile, 0)
        for near, some in zip(keys, sets, strict=True):
            if a is not b and a.rows.start in some:
                near[b.rows] = _merge(near[b.rows], tile, a.rows.start, axis=1)
            if b.rows.start in some:
                near[a.rows] = _merge(near[a.rows], tile, b.rows.start, axis=0)
    return [*keys, farthest]


def join(first: Neighbors, second: Neighbors) -> Neighbors:
    """The nearest of two sets of candidates, of which the first has the smaller numbers."""
    k = first.index.shape[1]
    index = np.hstack([first.index, second.index])
    distance = np.hstack([first.distance, second.distance])
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return Neighbors(*(np.take_along_axis(part, order, axis=1) for part in (index, distance)))


def query_gallery_tiles(
    queries: Sequence[Block],
    gallery: list[Block],
    kept: dict[tuple[int, int], Float[np.ndarray, "a b"]],
) -> Iterator[Float[np.ndarray, "a b"]]:
    """For each block of queries its tiles with all gallery blocks; removes them from the cache."""
    pairs = [(a, b) for a in queries for b in gallery]
    others = tiles([(a, b) for a, b in pairs if (a.rows.start, b.rows.start) not in kept])
    for a, b in pairs:
        key = a.rows.start, b.rows.start
        yield kept.pop(key) if key in kept else next(others)


def _of_unit_norm(blocks: list[Block]) -> list[Block]:
    def unit(images: Images) -> Images:
        return images._replace(norm=jnp.where(images.norm == jnp.inf, jnp.inf, 1.0))

    return [block._replace(images=[*map(unit, block.images)]) for block in blocks]


def _merge(
    keys: UInt[np.ndarray, "m k"],
    tile: Float[np.ndarray, "a b"],
    first: int,
    axis: int,
) -> UInt[np.ndarray, "m k"]:
    """The k least keys of images that met others, numbered from `first`.

    A key has a distance's bits above the bits of the other image's number, so keys sort as these
    pairs. The images are on the tile's `axis`.
    """
    m, k = keys.shape
    bound = np.minimum(_distance(keys[:, -1]), _bound(tile, k, 1 - axis))
    within = tile <= np.expand_dims(bound, 1 - axis)
    found = np.divmod(np.flatnonzero(within), tile.shape[1])
    row, other = found[axis], found[1 - axis]
    if axis == 1:
        order = np.argsort(row.astype(np.int32), kind="stable")
        row, other = row[order], other[order]
    value = tile[row, other] if axis == 0 else tile[other, row]
    key = value.view(np.uint32).astype(np.uint64) << np.uint64(32)
    key |= (other + first).astype(np.uint64)
    number = np.bincount(row, minlength=m)
    column = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    table = np.full((m, k + number.max()), NONE)
    table[:, :k] = keys
    table[row, k + column] = key
    table.sort(axis=1)
    return table[:, :k]


def _bound(tile: Float[np.ndarray, "a b"], k: int, axis: int) -> Float[np.ndarray, " m"]:
    """An upper bound of a row's k-th least value: the k-th least of the minima of groups."""
    size = max(1, tile.shape[axis] // (4 * k))
    groups = tile.shape[axis] // size
    if groups < k:
        return np.full(tile.shape[1 - axis], np.inf, np.float32)
    if axis == 1:
        minima = tile[:, : size * groups].reshape(len(tile), size, groups).min(axis=1)
    else:
        minima = tile[: size * groups].reshape(size, groups, -1).min(axis=0).T
    return np.partition(minima, k - 1, axis=1)[:, k - 1]


def _neighbors(keys: UInt[np.ndarray, "n k"]) -> Neighbors:
    return Neighbors(
        (keys & np.uint64(2**32 - 1)).astype(np.uint32).view(np.int32), _distance(keys)
    )


def _distance(keys: UInt[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)


def _on_host(tile: Array, a: Block, b: Block) -> Float[np.ndarray, "a b"]:
    return np.asarray(tile)[: a.rows.stop - a.rows.start, : b.rows.stop - b.rows.start]


@jax.jit
def _distances(a: Images, b: Images) -> Float[Array, "a b"]:
    return jnp.maximum(squared_distances(a, b), SMALLEST)
