"""Ranked lists of a protocol's first trial: which images a query finds, and how cameras differ."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.evaluation import Protocol, QueryGallery, QueryScores, cmc_map
from jreid.report.modality_gap import unit_rows

TOP = 10
GROUPS = ("worst", "median", "best")


class Labeled(NamedTuple):
    """Embeddings of N images and their labels.

    Attributes:
        features: `[N, D]`, finite.
        identity: `[N]`.
        camera: `[N]`.
        name: `[N]`.
    """

    features: Float[np.ndarray, "n d"]
    identity: Int[np.ndarray, " n"]
    camera: Int[np.ndarray, " n"]
    name: np.ndarray


class Found(NamedTuple):
    """An image of the gallery in a ranked list.

    Attributes:
        row: its row.
        position: in the list, from 1.
        distance: to the query.
        right: whether it shows the query's person.
    """

    row: int
    position: int
    distance: float
    right: bool


class RankedList(NamedTuple):
    """A query and the images that it finds.

    Attributes:
        row: the query's row.
        group: one of `GROUPS`.
        found: the nearest, and the first right one if it is further away.
        first_match: position of the first right image.
        person_rank: the first match's rank if each person counts once; 0 if images are counted.
        gallery: how many images are ranked.
        average_precision: a fraction.
    """

    row: int
    group: str
    found: list[Found]
    first_match: int
    person_rank: int
    gallery: int
    average_precision: float


def ranked_lists(
    images: Labeled, drawn: QueryGallery, protocol: Protocol, each: int, top: int = TOP
) -> list[RankedList]:
    """The lists of the queries with the lowest, the median and the highest average precision.

    Ties are ranked as in the evaluation: at equal distance a wrong image comes first. Queries
    without a match are left out.

    Args:
        each: queries in each of `GROUPS`; fewer if there are fewer queries.
        top: images in each list.
    """
    query, gallery = drawn.query_rows[0], drawn.gallery_rows[0]
    scores = _scores(images, gallery, drawn, protocol, protocol.cmc)
    valid = np.flatnonzero(scores.matches > 0)
    order = valid[np.lexsort((images.name[query[valid]], scores.average_precision[valid]))]
    each = min(each, len(order) // 3) or min(1, len(order))
    middle = (len(order) - each) // 2
    chosen = {"worst": order[:each], "median": order[middle : middle + each], "best": order[-each:]}
    lists, seen = [], set()
    for group, numbers in chosen.items():
        for number in numbers[::-1] if group == "best" else numbers:
            if number in seen:  # of fewer than three queries
                continue
            seen.add(number)
            found, kept = _found(images, query[number], gallery, drawn, protocol, top)
            first = next(one.position for one in found if one.right)
            rank = int(scores.rank[number]) if protocol.cmc == "identity" else 0
            precision = float(scores.average_precision[number])
            lists.append(RankedList(int(query[number]), group, found, first, rank, kept, precision))
    return lists


def _scores(
    images: Labeled,
    gallery: Int[np.ndarray, " g"],
    drawn: QueryGallery,
    protocol: Protocol,
    cmc: str,
) -> QueryScores:
    """The scores of the first trial's queries in a gallery; `cmc` as `cmc_map` takes it."""
    query = drawn.query_rows[0]
    return cmc_map(
        images.features[query],
        images.features[gallery],
        images.identity[query],
        images.identity[gallery],
        drawn.query_group[query],
        drawn.gallery_group[gallery],
        cmc=cmc,
        distance=protocol.distance,
    )


def _found(
    images: Labeled,
    query: int,
    gallery: Int[np.ndarray, " g"],
    drawn: QueryGallery,
    protocol: Protocol,
    top: int,
) -> tuple[list[Found], int]:
    """A query's nearest images and first right one; and how many images it does not skip."""
    kept = gallery[drawn.gallery_group[gallery] != drawn.query_group[query]]
    distance = distances(images.features[[query]], images.features[kept], protocol.distance)[0]
    right = images.identity[kept] == images.identity[query]
    order = np.lexsort((right, distance))
    first = int(np.flatnonzero(right[order])[0])
    shown = [*range(min(top, len(order))), *([first] if first >= top else [])]
    found = [
        Found(int(kept[order[i]]), i + 1, float(distance[order[i]]), bool(right[order[i]]))
        for i in shown
    ]
    return found, len(kept)


def distances(
    query: Float[np.ndarray, "q d"], gallery: Float[np.ndarray, "g d"], kind: str
) -> Float[np.ndarray, "q g"]:
    """Cosine distances, 0 to 2, or Euclidean ones."""
    if kind == "cosine":
        return 1 - unit_rows(query) @ unit_rows(gallery).T
    squares = (query**2).sum(1)[:, None] + (gallery**2).sum(1)
    return np.sqrt(np.maximum(squares - 2 * query @ gallery.T, 0))


class CameraPair(NamedTuple):
    """Rank-1 of the queries from one camera in the gallery images of another.

    Attributes:
        query_camera: the queries' camera.
        gallery_camera: the gallery's camera.
        queries: those whose person is among these gallery images.
        rank1: a fraction of these queries.
    """

    query_camera: int
    gallery_camera: int
    queries: int
    rank1: float


def camera_pairs(images: Labeled, drawn: QueryGallery, protocol: Protocol) -> list[CameraPair]:
    """Rank-1 by camera pair; pairs that the protocol skips, or without a query, are left out."""
    query, gallery = drawn.query_rows[0], drawn.gallery_rows[0]
    pairs = []
    for camera in np.unique(images.camera[gallery]).tolist():
        there = gallery[images.camera[gallery] == camera]
        scores = _scores(images, there, drawn, protocol, "image")
        for of_query in np.unique(images.camera[query]).tolist():
            counted = (scores.matches > 0) & (images.camera[query] == of_query)
            if counted.any():
                share = float((scores.rank[counted] == 1).mean())
                pairs.append(CameraPair(of_query, camera, int(counted.sum()), share))
    return sorted(pairs)
