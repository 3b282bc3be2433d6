"""Collapse: different people have nearly equal embeddings, so a ranking means nothing."""

import numpy as np
from jaxtyping import Float, Int

# Mean cosine similarity of different people. 0.9999 is 0.8 degrees. Healthy runs of the tiny config
# were seen as high as 0.998 at the end of the first epoch, and below 0.6 two epochs later.
COLLAPSED = 0.9999
BLOCK = 4096  # embeddings in float64 at the same time


class CollapseWarning(RuntimeWarning):
    """The embeddings that are evaluated have collapsed."""


def mean_negative_similarity(
    features: Float[np.ndarray, "n d"], identities: Int[np.ndarray, " n"], distance: str = "cosine"
) -> float:
    """The mean cosine similarity over all pairs of embeddings of different identities.

    An embedding of zeros has no direction: all of them count as having the same one. For the
    `euclidean` distance embeddings are divided by the root of their mean square and not each by
    its length, so that 1 stands for one point and not for one direction. -1 where there is one
    identity alone.
    """
    order = np.argsort(identities, kind="stable")
    _, first, images = np.unique(identities[order], return_index=True, return_counts=True)
    if len(images) == 1:
        return -1.0
    blocks = [slice(start, start + BLOCK) for start in range(0, len(order), BLOCK)]
    norm = np.empty((len(order), 1))
    for rows in blocks:
        some = features[order[rows]].astype(np.float64)
        norm[rows] = np.linalg.norm(some, axis=1, keepdims=True)
    if distance == "euclidean":
        norm = np.full_like(norm, np.sqrt((norm**2).mean()))
    # The products of all pairs are those of the sums over each identity.
    same = np.full(features.shape[1], features.shape[1] ** -0.5)
    total, squares, last = np.zeros_like(same), 0.0, np.zeros_like(same)
    for rows in blocks:
        zero = norm[rows] == 0
        pointing = np.where(zero, same, features[order[rows]] / np.where(zero, 1, norm[rows]))
        total += pointing.sum(axis=0)
        begins = first[(first >= rows.start) & (first < rows.stop)] - rows.start
        sums = np.add.reduceat(pointing, np.union1d(0, begins), axis=0)
        if 0 not in begins:  # the last identity of the block before goes on
            squares -= (last**2).sum()
            sums[0] += last
        squares += (sums**2).sum()
        last = sums[-1]
    negatives = (total**2).sum() - squares
    return float(negatives / (images.sum() ** 2 - (images**2).sum()))
