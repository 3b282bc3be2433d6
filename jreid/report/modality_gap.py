"""The modality gap of embeddings: distances within and across modalities, and neighbors."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

NEIGHBORS = 20
MOST_IMAGES = 4000  # whose pairs are compared; of more images some are chosen at random
BINS = np.linspace(0, 2, 101)  # of the cosine distance
BLOCK = 512  # images whose distances are in memory at once
KINDS = ("same person, within", "two people, within", "same person, across", "two people, across")


class ModalityGap(NamedTuple):
    """Numbers on the pairs of N images of the M that there are.

    Attributes:
        images: N.
        of_images: M.
        counts: pairs in each of `BINS` by cosine distance, for each of `KINDS`.
        similarity: the mean cosine of the pairs of each kind that has pairs.
        other_modality: the mean share of the other modality among an image's `neighbors` nearest.
        expected: that share if an image's modality had no influence: the other modality's share of
            all other images.
        neighbors: 20, or the number of all other images if that is lower.
    """

    images: int
    of_images: int
    counts: dict[str, Int[np.ndarray, " b"]]
    similarity: dict[str, float]
    other_modality: float
    expected: float
    neighbors: int


def modality_gap(
    features: Float[np.ndarray, "m d"],
    identities: Int[np.ndarray, " m"],
    modalities: Shaped[np.ndarray, " m"],
) -> ModalityGap:
    """Measures the gap; of more than `MOST_IMAGES` it takes the same random ones each time.

    Args:
        features: finite embeddings, normalized or not; a zero feature has the cosine 0 to all.
        identities: of each row.
        modalities: `visible` or `infrared`, of each row.
    """
    of_images = len(features)
    if of_images > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(0).permutation(of_images)[:MOST_IMAGES])
        features, identities, modalities = (x[rows] for x in (features, identities, modalities))
    units = unit_rows(features)
    N, k = len(units), min(NEIGHBORS, len(units) - 1)
    counts = {kind: np.zeros(len(BINS) - 1, np.int64) for kind in KINDS}
    sums = {kind: 0.0 for kind in KINDS}
    others = np.empty(N)
    for start in range(0, N, BLOCK):
        rows = np.arange(start, min(start + BLOCK, N))
        cosine = units[rows] @ units.T
        same = identities[rows, None] == identities
        across = modalities[rows, None] != modalities
        later = np.arange(N) > rows[:, None]  # each pair once, no image with itself
        for kind, pairs in zip(
            KINDS,
            (same & ~across, ~same & ~across, same & across, ~same & across),
            strict=True,
        ):
            values = cosine[pairs & later]
            counts[kind] += np.histogram(np.clip(1 - values, 0, 2), BINS)[0]
            sums[kind] += float(values.sum(dtype=np.float64))
        cosine[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        others[rows] = np.take_along_axis(across, nearest, axis=1).mean(1)
    sizes = {kind: int(some.sum()) for kind, some in counts.items()}
    of_other = [(modalities != modality).sum() / (N - 1) for modality in modalities]
    return ModalityGap(
        N,
        of_images,
        counts,
        {kind: sums[kind] / size for kind, size in sizes.items() if size},
        float(others.mean()),
        float(np.mean(of_other)),
        k,
    )


def unit_rows(features: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    """The features as float32, each divided by its length; zeros stay zeros."""
    wide = features.astype(np.float64)  # squares of large float32 values overflow
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(length > 0, length, 1)).astype(np.float32)
