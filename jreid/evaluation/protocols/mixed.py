"""A protocol of jreid's own: a gallery of both modalities, in any share, for every dataset."""

import hashlib
import math

import numpy as np
from jaxtyping import Int

from jreid.data.table import Table
from jreid.datasets import LAYOUTS
from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol, validated
from jreid.evaluation.protocols.regdb import REGDB_TRIALS
from jreid.evaluation.protocols.sysu_mm01 import SYSU_MM01_LOCATIONS

QUERIES = ("common", "own")
# (camera, location) of cameras that stand where another one does. ORBench has those of SYSU-MM01.
LOCATIONS = {"sysu_mm01": SYSU_MM01_LOCATIONS, "orbench": ((13, 12),)}


def mixed(
    split: str = "test",
    *,
    dataset: str = "",
    direction: str = "infrared_to_visible",
    share: float = 0.5,
    images: int = 10,
    queries: str = "common",
    split_number: int = 0,
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """A gallery of both modalities: jreid's own rule, which no paper has used.

    A trial's gallery has `images` images of each identity that has both modalities, a `share` of
    them, rounded to whole images, of the queries' modality: 3 of 10 by a share of 0.3 and by one of
    0.25. An identity with too few images adds fewer. Trials draw them by the names of the files, so
    that the gallery of a larger share holds the images of this modality that a smaller one has.
    Queries are the images that are in no gallery of any share (`common`, to compare shares) or not
    in this one (`own`). A query skips the images of its own identity from its own place. Images of
    other people from this place stay, because the protocol measures whether they are distinguished;
    SYSU-MM01's rule skips the whole place.

    Besides the usual metrics, rows have the cross-modality mAP and the confusion
    (`jreid.evaluation.ranking.mixed`). A run knows the layout of its dataset; else give `dataset`.
    """
    choices = (*LAYOUTS, "folder")
    if dataset not in choices and "." not in dataset:  # a layout outside of jreid has a dot
        raise InputError(
            f"The protocol mixed needs the layout of the dataset, one of {', '.join(choices)}, not "
            f"{dataset!r}; write for example mixed:dataset=sysu_mm01."
        )
    if not 0 <= share <= 1:
        raise InputError(
            f"The protocol's share is {share:g}, but the share of the gallery that is of the "
            "queries' modality must be 0 to 1."
        )
    if images < 1:
        raise InputError(f"The protocol's images is {images}: ask for at least one of an identity.")
    if queries not in QUERIES:
        raise InputError(
            f"The protocol's queries is {queries!r}: choose one of {', '.join(QUERIES)}."
        )
    if split_number not in (range(1, REGDB_TRIALS + 1) if dataset == "regdb" else (0,)):
        raise InputError(
            f"The protocol's split_number is {split_number}, but it must be 1 to {REGDB_TRIALS} "
            "for regdb, as in mixed:dataset=regdb,split_number=1, and 0 for other datasets."
        )
    rule = Protocol(
        "mixed",
        split,
        sampling="by_name",
        direction=direction,
        ignore="identity_and_location",
        location_of_camera=LOCATIONS.get(dataset, ()),
        trials=trials,
        split_number=split_number,
        cmc=cmc,
        distance=distance,
        dataset=dataset,
        share=share,
        images=images,
        queries=queries,
    )
    return validated(rule, sampling=("by_name",))


def own_images(share: float, images: int) -> int:
    """How many of an identity's gallery images are of the queries' modality; half rounds up.

    >>> own_images(0.3, 10), own_images(0.25, 10), own_images(0.25, 4)
    (3, 3, 1)
    """
    return math.floor(share * images + 0.5)


def draw_mixed(
    table: Table, protocol: Protocol, own: Int[np.ndarray, " a"], other: Int[np.ndarray, " b"]
) -> tuple[Int[np.ndarray, "t q"], Int[np.ndarray, "t g"]]:
    """The queries and galleries of a mixed protocol.

    Args:
        own: rows of the queries' modality.
        other: rows of the other one.

    Raises:
        InputError: no identity has both modalities, or the gallery is empty.
    """
    assert protocol.share is not None
    wanted = own_images(protocol.share, protocol.images)
    both = np.intersect1d(table.identity[own], table.identity[other]).tolist()
    cells = [[rows[table.identity[rows] == one] for rows in (own, other)] for one in both]
    trials: list[tuple[list[int], list[int]]] = []
    for trial in range(protocol.trials):
        queries, gallery = [], []
        for cell in cells:
            a, b = (_shuffled(table, rows, trial) for rows in cell)
            # One image at least is a query.
            first, last = (min(number, len(a) - 1) for number in (wanted, protocol.images))
            gallery += a[:first] + b[: protocol.images - wanted]
            queries += a[last if protocol.queries == "common" else first :]
        trials.append((queries, gallery))
    if not (trials and trials[0][1]):
        raise InputError(
            f"The gallery of {protocol.name} is empty: {len(both)} identities of the "
            f"{protocol.split} split have images of both modalities, and none has an image of the "
            "queries' modality to spare; take a smaller share."
        )
    drawn_queries, drawn_gallery = zip(*trials, strict=True)
    return np.array(drawn_queries), np.array(drawn_gallery)


def _shuffled(table: Table, rows: Int[np.ndarray, " n"], trial: int) -> list[int]:
    """The rows in an order that depends on their names and the trial only."""

    def key(row: int) -> bytes:
        return hashlib.sha256(f"{trial}\t{table.name[row]}".encode()).digest()

    return sorted(rows.tolist(), key=key)
