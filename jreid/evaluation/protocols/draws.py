"""Sampling: chooses the images of each identity and camera for a trial."""

import random
from collections import defaultdict

import numpy as np
from jaxtyping import Int

from jreid.data.table import GalleryIndex, Table
from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol

# Identity, camera, and the rows of this identity's images from this camera.
Cell = tuple[int, int, list[int]]


def draw(
    table: Table,
    gallery_index: GalleryIndex,
    protocol: Protocol,
    rows: Int[np.ndarray, " m"],
    cameras: tuple[int, ...],
) -> Int[np.ndarray, "t n"]:
    """The rows that the protocol samples for each trial.

    Args:
        rows: the rows to sample from.
        cameras: of these rows, in the protocol's order; empty for ascending numbers.

    Raises:
        InputError: the gallery index is missing, or does not belong to this Table.
    """
    cells = _cells(table, protocol, rows, cameras)
    if protocol.sampling == "seeded":
        return _draw_seeded(table, protocol, cells)
    if protocol.sampling == "official":
        return _draw_official(table, gallery_index, protocol, cells)
    raise ValueError(f"Protocol.sampling={protocol.sampling!r} is neither 'seeded' nor 'official'.")


def _draw_seeded(table: Table, protocol: Protocol, cells: list[Cell]) -> Int[np.ndarray, "t n"]:
    """One image of each cell, the same file that AGW's and LLCM's released code chooses.

    That code seeds Python's generator with the trial's number, from 0, and chooses among the sorted
    files.
    """
    files = [
        sorted(rows, key=lambda row: str(table.name[row]).rpartition("/")[2])
        for _, _, rows in cells
        if rows
    ]
    generators = [random.Random(trial) for trial in range(protocol.trials)]
    return np.array([[generator.choice(rows) for rows in files] for generator in generators])


def _draw_official(
    table: Table, gallery_index: GalleryIndex, protocol: Protocol, cells: list[Cell]
) -> Int[np.ndarray, "t n"]:
    """The first images of each cell, in the order of the trial's permutation."""
    if not gallery_index:
        raise InputError(
            "The official sampling needs the dataset's permutations: put rand_perm_cam.mat into "
            "the dataset's exp folder (with --features: --gallery-index=rand_perm_cam.mat), or use "
            f"the sampling of AGW's code, {protocol.name}:sampling=seeded, which supports only 1 "
            "shot."
        )
    columns, lacking = [], []
    for identity, camera, rows in cells:
        order = gallery_index.get((camera, identity))
        place = f"cam{camera}/{identity:04d}"
        if order is None or order.shape[1] == 0:
            if rows:
                raise InputError(
                    f"The gallery index has no entry for {place}, which has images: use the "
                    "rand_perm_cam.mat that belongs to this dataset."
                )
            continue
        if len(order) < protocol.trials:
            raise InputError(
                f"The gallery index has {len(order)} trials for {place} but the protocol needs "
                f"{protocol.trials}: use fewer trials, or the official index."
            )
        row_of = {str(table.name[row]): row for row in rows}
        names = {number: f"{place}/{number:04d}" for number in order[0].tolist()}
        lacking += sorted(name for name in names.values() if name not in row_of)
        drawn = order[: protocol.trials, : protocol.shots].tolist()
        columns.append([[row_of.get(names[number], -1) for number in trial] for trial in drawn])
    if lacking:
        raise InputError(
            f"The gallery index names {lacking[0]}, which is not among the {protocol.split} images "
            f"({len(lacking)} missing in all): complete the dataset."
        )
    return np.concatenate(columns, axis=1)


def _cells(
    table: Table, protocol: Protocol, rows: np.ndarray, cameras: tuple[int, ...]
) -> list[Cell]:
    """The split's identities in the order of their four digits, in each camera in its order."""
    images = defaultdict(list)
    for row, *cell in zip(
        rows.tolist(), table.identity[rows].tolist(), table.camera[rows].tolist(), strict=True
    ):
        images[tuple(cell)].append(row)
    identities = np.unique(table.identity[table.split == protocol.split]).tolist()
    return [
        (identity, camera, images[identity, camera])
        for identity in sorted(identities, key=lambda identity: f"{identity:04d}")
        for camera in cameras or np.unique(table.camera[rows]).tolist()
    ]
