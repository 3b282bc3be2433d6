"""Ranks blocks of queries with the gallery's tiles: matches, then counts, then metrics."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from jreid.evaluation.ranking import counting
from jreid.evaluation.ranking.gallery import Gallery, Partition, normalize_for, round_up
from jreid.evaluation.ranking.inputs import Features
from jreid.evaluation.ranking.scores import QueryScores, empty_scores, fill
from jreid.evaluation.ranking.share import Share

CACHED_TILES = 4  # of distances, from finding a block's matches to counting them


class Trial(NamedTuple):
    """The images of a gallery in one trial, and the positions of the queries' matches.

    Attributes:
        rows: for each tile the trial's rows of it, as `counting.count_tile` takes them.
        part: `[Q]` the part of the gallery that holds the query's identity.
        first: `[Q]` the first image of that identity among the trial's rows of the part.
        number: `[Q]` the number of these images.
    """

    rows: list[Int[Array, " v"] | None]
    part: Int[np.ndarray, " q"]
    first: Int[np.ndarray, " q"]
    number: Int[np.ndarray, " q"]


class RankingInputs(NamedTuple):
    """Data that all blocks of queries share; `identities` as in `counting.count_tile`."""

    query: Features
    group: Int[np.ndarray, " q"] | None
    gallery: Gallery
    trials: list[Trial]
    distance: str
    identities: int | None
    mesh: Mesh


class Block(NamedTuple):
    """Queries ranked at once: rows, padded to `width`, with at most `most` matches each."""

    rows: Int[np.ndarray, " b"]
    most: int
    width: int


def make_trial(
    partition: Partition,
    identity: Int[np.ndarray, " g"],
    positions: Int[np.ndarray, " v"] | None,
    query_identity: Int[np.ndarray, " q"],
    mesh: Mesh,
) -> Trial:
    """The trial of the images at ascending positions of the sorted gallery; None: of all images."""
    rows: list[Array | None] = [None] * partition.tiles
    if positions is None:
        positions = np.arange(len(identity))
    else:
        most = np.diff(np.searchsorted(positions, partition.bounds)).max()
        most = round_up(most, counting.CHUNK)
        layout = partition.pad_parts(positions, most, fill=-1)
        starts = np.repeat(partition.bounds[:-1].reshape(-1, partition.tiles).T, most, axis=1)
        local = np.where(layout >= 0, layout - starts, counting.OUT_OF_RANGE).astype(np.int32)
        rows = [jax.device_put(row, _sharding(mesh, split=True)) for row in local]
    mine = identity[positions]
    first = np.searchsorted(mine, query_identity, "left")
    number = np.searchsorted(mine, query_identity, "right") - first
    there = positions[np.minimum(first, len(positions) - 1)]
    part = np.searchsorted(partition.bounds, there, "right") - 1
    return Trial(rows, part, first - np.searchsorted(positions, partition.bounds[part]), number)


def rank_queries(
    inputs: RankingInputs,
    block: int,
    share: Share,
    progress: Callable[[int, int], None] | None = None,
) -> list[QueryScores]:
    """Each trial's ranking of this process's queries, from one pass over the distances.

    The blocks of queries do not depend on the number of processes, since a product's rounding may
    depend on the size of its blocks.
    """
    Q = len(inputs.query)
    rankings = [empty_scores(Q) for _ in inputs.trials]
    blocks = share.own(_blocks(inputs.trials, block))
    done = Q - sum(len(rows) for rows, *_ in blocks)  # without a match, or of other processes
    # Two at once: one block computes during the other's serial steps. Not with many devices, since
    # their collectives wait for one another.
    with ThreadPoolExecutor(2 if inputs.mesh.size == 1 else 1) as executor:
        counted = executor.map(functools.partial(_count_block, inputs), blocks)
        for (rows, *_), trials in zip(blocks, counted, strict=True):
            for ranking, (match, before, identities) in zip(rankings, trials, strict=True):
                fill(ranking, rows, match, before, identities if inputs.identities else None)
            done += len(rows)
            if progress is not None:
                progress(done, Q)
    return rankings


def _blocks(trials: list[Trial], block: int) -> list[Block]:
    """Queries sorted by their number of matches, without those that have none."""
    most = np.max([trial.number for trial in trials], axis=0)
    part = np.max([np.where(trial.number > 0, trial.part, -1) for trial in trials], axis=0)
    blocks, below = [], 0
    for share in (0.9, 1.0):
        reached = int(np.quantile(most[most > 0], share)) if most.any() else 0
        cap = round_up(reached, counting.CHUNK)
        rows = np.flatnonzero((most > below) & (most <= cap))
        rows = rows[np.argsort(part[rows], kind="stable")]
        pieces = np.array_split(rows, -(-len(rows) // block)) if rows.size else []
        width = min(block, round_up(len(pieces[0]), counting.CHUNK)) if pieces else 0
        blocks += [Block(piece, cap, width) for piece in pieces]
        below = cap
    return blocks


def _count_block(inputs: RankingInputs, block: Block) -> list[tuple[np.ndarray, ...]]:
    """For each trial the matches' distances `[B, P]` and the counts, as in `counting.Counts`."""
    rows = np.pad(block.rows, (0, block.width - len(block.rows)), mode="edge")
    everywhere = _sharding(inputs.mesh)
    query = normalize_for(jax.device_put(inputs.query[rows], everywhere), inputs.distance)
    group = None if inputs.group is None else jax.device_put(inputs.group[rows], everywhere)
    duplicates = inputs.gallery.duplicates and counting.distances(query, *inputs.gallery.duplicates)

    def distances(tile: int) -> Array:
        return counting.tile_distances(
            query, group, inputs.gallery.tiles[tile], duplicates, inputs.mesh
        )

    kept: dict[int, Array] = {}
    matches: list[Array | None] = [None for _ in inputs.trials]
    parts = [trial.part[rows] % inputs.gallery.partition.tiles for trial in inputs.trials]
    for tile in np.unique(parts).tolist():
        here = distances(tile)
        if len(kept) < CACHED_TILES:
            kept[tile] = here
        for i, trial in enumerate(inputs.trials):
            first, number = _own_rows(trial, rows, tile, inputs)
            found = counting.match_distances(
                here, first, number, trial.rows[tile], block.most, inputs.mesh
            )
            before = matches[i]
            matches[i] = found if before is None else jnp.minimum(before, found)
    counts = [counting.no_counts(match) for match in matches]
    for number, tile in enumerate(inputs.gallery.tiles):
        here = kept.pop(number) if number in kept else distances(number)
        for i, trial in enumerate(inputs.trials):
            counts[i] = counting.count_tile(
                counts[i], here, matches[i], tile.identity, trial.rows[number],
                inputs.identities, inputs.mesh,
            )  # fmt: skip
    results = jax.device_get(
        [(match, *count) for match, count in zip(matches, counts, strict=True)]
    )
    return [tuple(part[..., : len(block.rows)].T for part in result) for result in results]


def _own_rows(
    trial: Trial, rows: Int[np.ndarray, " b"], tile: int, inputs: RankingInputs
) -> tuple[Int[Array, "n b"], Int[Array, " b"]]:
    """The first of the queries' matches in a tile on each device, and their number."""
    device, its_tile = np.divmod(trial.part[rows], inputs.gallery.partition.tiles)
    is_here = (device == np.arange(inputs.mesh.size)[:, None]) & (its_tile == tile)
    first = np.where(is_here, trial.first[rows], counting.OUT_OF_RANGE).astype(np.int32)
    number = trial.number[rows].astype(np.int32)
    return (
        jax.device_put(first, _sharding(inputs.mesh, split=True)),
        jax.device_put(number, _sharding(inputs.mesh)),
    )


def _sharding(mesh: Mesh, split: bool = False) -> NamedSharding:
    """Replicated on each device, or with the first axis divided over them."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names) if split else PartitionSpec())
