"""Collapse in training: different people get nearly equal embeddings."""

import numpy as np
from jaxtyping import Float

from jreid.data.table import Table
from jreid.evaluation.results.collapse import COLLAPSED, mean_negative_similarity
from jreid.runs.checkpoints import Checkpoints


class CollapseDetector:
    """Warns when the validation embeddings of a modality begin to point in one direction.

    The criterion is the mean cosine similarity of different people, as in evaluation.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints, self._collapsed = checkpoints, False

    def message(self, features: Float[np.ndarray, "n d"], table: Table) -> str | None:
        """A sentence if the embeddings of a table have collapsed since the last call; else None."""
        rows = [table.modality == modality for modality in np.unique(table.modality)]
        similarity = max(mean_negative_similarity(features[r], table.identity[r]) for r in rows)
        before, self._collapsed = self._collapsed, similarity > COLLAPSED
        if before or not self._collapsed:
            return None
        good = self._checkpoints.best  # of those that were scored before
        best = "no checkpoint was scored before" if good is None else f"step {good} was the best"
        return (
            "the model has collapsed: validation embeddings of different people have a mean cosine "
            f"similarity of {similarity:.5f}; {best} in {self._checkpoints.folder}; lower "
            "config.optimizer.learning_rate and train into another --workdir."
        )
