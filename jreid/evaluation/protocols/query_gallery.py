"""The queries and galleries that a protocol takes from a Table, and the pairs that it skips."""

import hashlib
import json
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jreid.data.table import GalleryIndex, Table
from jreid.errors import InputError
from jreid.evaluation.protocols.draws import draw
from jreid.evaluation.protocols.mixed import draw_mixed
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.ranking.inputs import JUNK, exact_integers


class QueryGallery(NamedTuple):
    """T trials of Q queries and a gallery of G images, as rows of a Table of N.

    A query q skips the gallery image g if `query_group[q] == gallery_group[g]`.

    Attributes:
        query_rows: `[T, Q]`.
        gallery_rows: `[T, G]`.
        query_group: `[N]`.
        gallery_group: `[N]`.
    """

    query_rows: Int[np.ndarray, "t q"]
    gallery_rows: Int[np.ndarray, "t g"]
    query_group: Int[np.ndarray, " n"]
    gallery_group: Int[np.ndarray, " n"]


def query_gallery(table: Table, gallery_index: GalleryIndex, protocol: Protocol) -> QueryGallery:
    """The queries and galleries that a protocol samples from a Table; images are not read.

    Identities and cameras are compared exactly. The identity -1, which marks junk images by
    Market-1501's convention, is an error among them; other rows may have it.

    Args:
        gallery_index: the dataset's own permutations; read only for the official sampling.

    Raises:
        InputError: the Table does not allow the protocol, or a trial has no query with a match.
        ValueError: identities or cameras are not integers within int64.

    >>> table = Table(
    ...     name=np.array(["a", "b", "c"]), identity=np.array([7, 7, 8]),
    ...     camera=np.array([1, 2, 2]), modality=np.array(["infrared", "visible", "visible"]),
    ...     split=np.array(["test"] * 3), image=np.array([b""] * 3, object),
    ... )
    >>> drawn = query_gallery(table, {}, read_protocol("folder"))
    >>> drawn.query_rows.tolist(), drawn.gallery_rows.tolist()
    ([[0]], [[1, 2]])
    """
    table = table._replace(
        identity=exact_integers(table.identity, "table.identity"),
        camera=exact_integers(table.camera, "table.camera"),
    )
    query_modality, gallery_modality = protocol.direction.split("_to_")
    roles = {
        "query": (query_modality, protocol.query_cameras),
        "gallery": (gallery_modality, protocol.gallery_cameras),
    }
    drawn, of_role = {}, {}
    for role, (modality, cameras) in roles.items():
        of_role[role] = rows = _rows(table, protocol, role, modality, cameras)
        if protocol.sampled == role:
            drawn[role] = draw(table, gallery_index, protocol, rows, cameras)
        else:
            drawn[role] = np.tile(rows, (protocol.trials, 1))
    if protocol.share is not None:
        both = draw_mixed(table, protocol, of_role["query"], of_role["gallery"])
        drawn = dict(zip(roles, both, strict=True))
    result = QueryGallery(drawn["query"], drawn["gallery"], *_groups(table, protocol))
    _require_matches(result, table, protocol)
    return result


def unmatched(query_gallery: QueryGallery, table: Table, trial: int) -> tuple[int, int]:
    """The number of queries without a match in a trial's gallery, by reason.

    Returns:
        Queries whose identity is not in the gallery, and queries whose identity is there but only
        in images that they skip.
    """
    groups: defaultdict[int, set[int]] = defaultdict(set)
    gallery, queries = query_gallery.gallery_rows[trial], query_gallery.query_rows[trial]
    for identity, group in _pairs(table.identity[gallery], query_gallery.gallery_group[gallery]):
        groups[identity].add(group)
    found = [
        (groups.get(identity, set()), group)
        for identity, group in _pairs(table.identity[queries], query_gallery.query_group[queries])
    ]
    return sum(not there for there, _ in found), sum(there == {own} for there, own in found)


def most_unmatched(query_gallery: QueryGallery, table: Table) -> tuple[int, int]:
    """`unmatched` of the trial with the fewest queries that have a match.

    >>> table = Table(
    ...     name=np.array(["a", "b", "c"]), identity=np.array([7, 7, 8]),
    ...     camera=np.array([1, 2, 2]), modality=np.array(["infrared", "visible", "visible"]),
    ...     split=np.array(["test"] * 3), image=np.array([b""] * 3, object),
    ... )
    >>> most_unmatched(query_gallery(table, {}, read_protocol("folder")), table)
    (0, 0)
    """
    trials = range(len(query_gallery.query_rows))
    return max((unmatched(query_gallery, table, trial) for trial in trials), key=sum)


def fingerprint(
    protocol: Protocol, table: Table, query_gallery: QueryGallery, rerank: str = "none"
) -> str:
    """12 hexadecimal digits of the SHA-256 of rule, re-ranking, queries and galleries.

    Queries and galleries enter by their labels: the names and identities of every trial, and the
    skipped pairs. Results are comparable if and only if their fingerprints are equal, whatever
    model made the features; the images' bytes and the order of the Table's rows do not matter.

    >>> table = Table(
    ...     name=np.array(["a", "b", "c"]), identity=np.array([7, 7, 8]),
    ...     camera=np.array([1, 2, 2]), modality=np.array(["infrared", "visible", "visible"]),
    ...     split=np.array(["test"] * 3), image=np.array([b""] * 3, object),
    ... )
    >>> protocol = read_protocol("folder")
    >>> fingerprint(protocol, table, query_gallery(table, {}, protocol))
    'c1bf0c2387e6'
    """
    rule = json.dumps([protocol.stored(), rerank], sort_keys=True)
    digest = hashlib.sha256(rule.encode())
    queries, gallery = np.unique(query_gallery.query_rows), np.unique(query_gallery.gallery_rows)
    # Groups by their rank among those in use, so that other rows of the Table have no effect.
    used = np.append(query_gallery.query_group[queries], query_gallery.gallery_group[gallery])
    groups = np.unique(used, return_inverse=True)[1]
    query_text = _labels(table, queries, groups[: len(queries)])
    gallery_text = _labels(table, gallery, groups[len(queries) :])
    for query_rows, gallery_rows in zip(
        query_gallery.query_rows, query_gallery.gallery_rows, strict=True
    ):
        for text, rows in ((query_text, query_rows), (gallery_text, gallery_rows)):
            digest.update(json.dumps(sorted(text[row] for row in rows.tolist())).encode())
    return digest.hexdigest()[:12]


def _labels(table: Table, rows: np.ndarray, groups: np.ndarray) -> dict[int, str]:
    columns = rows, table.name[rows], table.identity[rows], groups
    return {
        row: f"{name}\t{identity}\t{group}"
        for row, name, identity, group in zip(*(c.tolist() for c in columns), strict=True)
    }


def _pairs(*columns: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _rows(
    table: Table, protocol: Protocol, role: str, modality: str, cameras: tuple[int, ...]
) -> Int[np.ndarray, " n"]:
    """The rows that may be queries, or gallery images."""
    allowed = (table.split == protocol.split) & (table.modality == modality)
    if cameras:
        allowed &= np.isin(table.camera, cameras)
    rows = np.flatnonzero(allowed)
    if not rows.size:
        of_cameras = f" of the cameras {', '.join(map(str, cameras))}" if cameras else ""
        empty = "there are no queries" if role == "query" else "the gallery is empty"
        raise InputError(
            f"The {protocol.split} split has no {modality} images{of_cameras}, so {empty}: check "
            "the dataset's cameras and lists of identities, or choose another protocol."
        )
    junk = rows[table.identity[rows] == JUNK]
    if junk.size:
        raise InputError(
            f"{table.name[junk[0]]} has the identity -1 ({junk.size} such {modality} images): by "
            "Market-1501's convention that is a junk image, which is neither a match nor a "
            "distractor; leave it out."
        )
    return rows


def _groups(table: Table, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """The codes that define the skipped pairs."""
    if protocol.ignore == "nothing":
        return np.zeros_like(table.camera), np.ones_like(table.camera)
    place = table.camera.copy()
    for camera, location in protocol.location_of_camera:
        place[table.camera == camera] = location
    if protocol.ignore == "same_location":
        return place, place
    if protocol.ignore not in ("identity_and_camera", "identity_and_location"):
        raise ValueError(f"Protocol.ignore={protocol.ignore!r} does not exist.")
    if protocol.ignore == "identity_and_camera":
        place = table.camera
    pairs = np.stack([table.identity, place], axis=1)
    group = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return group, group


def _require_matches(query_gallery: QueryGallery, table: Table, protocol: Protocol) -> None:
    """Raises InputError if a trial has no query with a match."""
    queries = query_gallery.query_rows.shape[1]
    absent, skipped = most_unmatched(query_gallery, table)
    if skipped == queries and protocol.share is not None:
        raise InputError(
            f"All matches of the {queries} queries of {protocol.name} are images that they skip, "
            f"since all images of the queries' modality are from one place: give a share below "
            f"{protocol.share:g}."
        )
    if absent + skipped == queries:
        raise InputError(
            f"None of the {queries} queries of the {protocol.split} split has a match in the "
            f"gallery of {protocol.name} (the identity of {absent} is not in it, that of {skipped} "
            "is only in images that they skip): check the camera numbers, and that both "
            "modalities show the same identities."
        )
