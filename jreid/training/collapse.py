"""Collapse: all embeddings point in one direction, and a ranking means nothing."""

import numpy as np
from jaxtyping import Float, Int

from jreid.runs.checkpoints import Checkpoints

COLLAPSED = 0.999  # mean cosine similarity of different people


class CollapseDetector:
    """Warns when all validation embeddings begin to point in one direction.

    It goes by the mean cosine similarity of different people, since ranking goes by the cosine too.
    0.999 is two and a half degrees. Healthy runs of the tiny config were seen as high as 0.998 at
    the end of the first epoch, and below 0.6 two epochs later.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints, self._collapsed = checkpoints, False

    def message(
        self, features: Float[np.ndarray, "n d"], identities: Int[np.ndarray, " n"]
    ) -> str | None:
        """A sentence where the embeddings have collapsed and had not the last time."""
        similarity = mean_negative_similarity(features, identities)
        before, self._collapsed = self._collapsed, similarity > COLLAPSED
        if before or not self._collapsed:
            return None
        good = self._checkpoints.best  # scored, and so looked at, before this one
        best = "no checkpoint was scored before" if good is None else f"step {good} was the best"
        return (
            "the model has collapsed: validation embeddings of different people have a mean cosine "
            f"similarity of {similarity:.4f}; {best} in {self._checkpoints.folder}; lower "
            "config.optimizer.learning_rate and train into another --workdir."
        )


def mean_negative_similarity(
    features: Float[np.ndarray, "n d"], identities: Int[np.ndarray, " n"]
) -> float:
    """The mean cosine similarity over all pairs of embeddings of different identities.

    An embedding of zeros has no direction: all of them count as having the same one.
    """
    features = features.astype(np.float64)
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    same = np.full(features.shape[1], features.shape[1] ** -0.5)
    pointing = np.where(norm == 0, same, features / np.where(norm == 0, 1, norm))
    _, person, images = np.unique(identities, return_inverse=True, return_counts=True)
    sums = np.zeros((len(images), features.shape[1]))
    np.add.at(sums, person, pointing)
    # The products of all pairs are those of the sums.
    negatives = (sums.sum(axis=0) ** 2).sum() - (sums**2).sum()
    return float(negatives / (images.sum() ** 2 - (images**2).sum()))
