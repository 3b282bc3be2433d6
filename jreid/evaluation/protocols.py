"""Evaluation protocols as data: which rows are queries and galleries, which pairs are left out."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jreid.data.table import INFRARED, VISIBLE, Table
from jreid.errors import InputError
from jreid.evaluation.ranking import DISTANCES

# (camera, identity) -> [trials, n] int: row t is the t-th trial's order of the image numbers 1..n.
GalleryIndex = Mapping[tuple[int, int], np.ndarray]


class Protocol(NamedTuple):
    """A named evaluation rule, as plain values that go into the result file.

    Attributes:
        name: the dataset's rule: `sysu_mm01`.
        split: the Table's split that queries and gallery come from: `test` or `validation`.
        search: `all` cameras or the `indoor` ones.
        shots: gallery images of an identity in a camera: 1 or 10.
        draw: who drew the gallery: `official`, the dataset's own permutation file.
        trials: how many galleries are drawn; the metrics are averaged over them.
        cmc: what is counted: `identity` (each counts once, at its nearest image) or `image`.
        distance: `cosine` or `euclidean`.
    """

    name: str
    split: str = "test"
    search: str = "all"
    shots: int = 1
    draw: str = "official"
    trials: int = 10
    cmc: str = "identity"
    distance: str = "cosine"


class Problem(NamedTuple):
    """What a protocol asks of a Table: Q queries, and T trials' galleries of up to G images.

    A query ignores the gallery images whose place equals its own. Galleries are padded at their
    end with -1, in all three columns, where trials differ in size.

    Attributes:
        query_rows: `[Q]` rows of the Table.
        query_identity: `[Q]`.
        query_place: `[Q]`.
        gallery_rows: `[T, G]` rows of the Table, or -1.
        gallery_identity: `[T, G]`.
        gallery_place: `[T, G]`.
    """

    query_rows: Int[np.ndarray, " q"]
    query_identity: Int[np.ndarray, " q"]
    query_place: Int[np.ndarray, " q"]
    gallery_rows: Int[np.ndarray, "t g"]
    gallery_identity: Int[np.ndarray, "t g"]
    gallery_place: Int[np.ndarray, "t g"]


def problem(table: Table, gallery_index: GalleryIndex, protocol: Protocol) -> Problem:
    """The queries and galleries that a protocol draws from a Table.

    Raises:
        InputError: the protocol is unknown, or the Table does not allow it.
    """
    if protocol.name not in PROTOCOLS:
        raise InputError(
            f"The protocol {protocol.name!r} is unknown: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[protocol.name](table, gallery_index, protocol)


def fingerprint(protocol: Protocol, data_hash: str, rerank: str = "none") -> str:
    """12 hexadecimal digits that tell results of different rules, re-rankings or data apart."""
    fields = {"protocol": protocol._asdict(), "data": data_hash, "rerank": rerank}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def sysu_mm01(table: Table, gallery_index: GalleryIndex, protocol: Protocol) -> Problem:
    """SYSU-MM01's own protocol (Wu et al., ICCV 2017; evaluation_SYSU_MM01.m).

    Every infrared image is a query. A trial's gallery holds, for each visible camera of the search
    and each identity seen there, the first `shots` images of the trial's permutation. Cameras 2
    and 3 stand in one room: a query from camera 3 ignores every image of camera 2, whoever it
    shows.

    Raises:
        InputError: the index and the Table do not fit, or no query has a match left.
    """
    _check_sysu_mm01(protocol)
    in_split = table.split == protocol.split
    query_rows = np.flatnonzero(in_split & (table.modality == INFRARED))
    if not query_rows.size:
        raise InputError(
            f"The {protocol.split} split has no infrared images, so there are no queries: check "
            "the folder's infrared cameras and its lists of identities."
        )
    visible_rows = np.flatnonzero(in_split & (table.modality == VISIBLE))
    gallery_rows = _draw_sysu_mm01(table, visible_rows, gallery_index, protocol)
    place = np.where(table.camera == 3, 2, table.camera)
    drawn = Problem(
        query_rows,
        table.identity[query_rows],
        place[query_rows],
        gallery_rows,
        table.identity[gallery_rows],
        place[gallery_rows],
    )
    _require_matches(drawn, protocol)
    return drawn


PROTOCOLS = {"sysu_mm01": sysu_mm01}
SYSU_MM01_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}


def unmatched(drawn: Problem, trial: int) -> tuple[int, int]:
    """How many queries have no match in a trial's gallery, by reason.

    Returns:
        Queries whose identity is not in the gallery, and queries whose identity is there but only
        in images of the query's own place.
    """
    is_image = drawn.gallery_rows[trial] >= 0
    images = np.stack([drawn.gallery_identity[trial], drawn.gallery_place[trial]], axis=1)
    identity, place = np.unique(images[is_image], axis=0).T
    same_identity = drawn.query_identity[:, None] == identity
    is_match = same_identity & (drawn.query_place[:, None] != place)
    has_identity, has_match = same_identity.any(axis=1), is_match.any(axis=1)
    return int((~has_identity).sum()), int((has_identity & ~has_match).sum())


def _check_sysu_mm01(protocol: Protocol) -> None:
    """Refuses values that SYSU-MM01's protocol has not."""
    choices = {
        "split": ("test", "validation"),
        "search": tuple(SYSU_MM01_CAMERAS),
        "shots": (1, 10),
        "draw": ("official",),
        "cmc": ("identity", "image"),
        "distance": DISTANCES,
    }
    for field, allowed in choices.items():
        value = getattr(protocol, field)
        if value not in allowed:
            raise InputError(
                f"The protocol's {field} is {value!r}, which sysu_mm01 does not have: choose one "
                f"of {', '.join(map(str, allowed))}."
            )
    if protocol.trials < 1:
        raise InputError(f"The protocol's trials is {protocol.trials}: ask for at least one.")


def _draw_sysu_mm01(
    table: Table, visible_rows: np.ndarray, gallery_index: GalleryIndex, protocol: Protocol
) -> Int[np.ndarray, "t g"]:
    """The galleries' rows, by camera, identity and place in the permutation."""
    row_of = {str(table.name[row]): row for row in visible_rows}
    seen = set(zip(table.camera[visible_rows], table.identity[visible_rows], strict=True))
    identities = np.unique(table.identity[table.split == protocol.split])
    columns, lacking = [], []
    for camera in SYSU_MM01_CAMERAS[protocol.search]:
        for identity in identities.tolist():
            order = gallery_index.get((camera, identity))
            if order is None or order.shape[1] == 0:
                if (camera, identity) in seen:
                    raise InputError(
                        f"The gallery index has no entry for cam{camera}/{identity:04d}, which "
                        "has images: use the rand_perm_cam.mat that belongs to this folder."
                    )
                continue
            _require_trials(order, camera, identity, protocol.trials)
            names = {number: f"cam{camera}/{identity:04d}/{number:04d}" for number in order[0]}
            lacking += sorted(name for name in names.values() if name not in row_of)
            drawn = order[: protocol.trials, : protocol.shots]
            columns.append([[row_of.get(names[n], -1) for n in trial] for trial in drawn])
    if lacking:
        raise InputError(
            f"The gallery index names {lacking[0]}, which is not among the {protocol.split} "
            f"images ({len(lacking)} such in all): the folder is incomplete, unpack it again."
        )
    if not columns:
        raise InputError(
            f"The {protocol.split} split has no visible images in the cameras of the "
            f"{protocol.search} search, so the gallery is empty: choose another search or split."
        )
    return np.concatenate(columns, axis=1)


def _require_trials(order: np.ndarray, camera: int, identity: int, trials: int) -> None:
    if order.shape[0] < trials:
        raise InputError(
            f"The gallery index holds {order.shape[0]} trials for cam{camera}/{identity:04d} but "
            f"the protocol asks for {trials}: ask for fewer, or use the official index."
        )


def _require_matches(drawn: Problem, protocol: Protocol) -> None:
    """Refuses a problem in which some trial has no query with a match."""
    queries = len(drawn.query_rows)
    for trial in range(len(drawn.gallery_rows)):
        no_identity, same_place = unmatched(drawn, trial)
        if no_identity + same_place == queries:
            raise InputError(
                f"None of the {queries} queries of the {protocol.split} split has a match in the "
                f"gallery of the {protocol.search} search ({no_identity} show an identity that is "
                f"not in it, {same_place} one that is there only in the query's own place): "
                "choose another search, or identities that both modalities show."
            )
