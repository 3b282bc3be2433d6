"""Work between epochs, after the state is saved: a validation score, and pictures."""

import logging
import warnings
from collections.abc import Sequence

from jreid.data.dataset import Dataset
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.evaluation.results.collapse import CollapseWarning
from jreid.progress import explained
from jreid.runs import score
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.pictures import Sheets
from jreid.runs.protocols import Drawn
from jreid.training.cadence import Cadence
from jreid.training.checkpointer import Checkpointer
from jreid.training.collapse import CollapseDetector
from jreid.training.observer import Observer, Step

log = logging.getLogger(__name__)


def is_unscored(cadence: Cadence, checkpoints: Checkpoints, epochs: int) -> bool:
    """Whether a resumed run was stopped after `epochs` epochs, before it was scored.

    Args:
        checkpoints: the newest one is of the end of that epoch.
    """
    return cadence.scores(epochs) and checkpoints.score(checkpoints.newest()) is None


class Validation(Observer):
    """Scores the model on the validation identities, and saves the state again with the score.

    A run that is stopped meanwhile loses no step, since the state is saved before. It is scored
    when it is resumed: see `is_unscored`.
    """

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        drawn: Drawn | None,
        cadence: Cadence,
        checkpointer: Checkpointer,
        observers: Sequence[Observer],
    ) -> None:
        """`observers`: get the score before the state is saved with it."""
        self._model, self._dataset, self._drawn, self._cadence = model, dataset, drawn, cadence
        self._checkpointer, self._observers = checkpointer, observers
        self._collapse = CollapseDetector(checkpointer.checkpoints)

    def on_epoch_end(self, step: Step) -> None:
        """Raises Stopped where the run is asked to stop meanwhile."""
        if self._drawn is None or not self._cadence.scores(step.epochs_done):
            return
        scoring = explained(f"epoch {step.epochs_done}: scoring the validation identities")
        with self._checkpointer.interruptible(step), scoring:
            table, features = score.split_embeddings(
                self._model, step.state.variables, self._dataset, "validation"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CollapseWarning)  # the detector warns of it, below
                row = score.score(self._model, self._dataset, self._drawn, features)
        metrics = {"rank1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
        for observer in self._observers:
            observer.on_validation(step.number, {f"validation/{n}": metrics[n] for n in metrics})
        log.info(
            "epoch %d: validation rank-1 %.1f%%, mAP %.1f%% (protocol %s)",
            step.epochs_done,
            100 * metrics["rank1"],
            100 * metrics["mAP"],
            row["fingerprint"],
        )
        collapse = self._collapse.message(features, table)
        if collapse:
            log.warning("epoch %d, step %d: %s", step.epochs_done, step.number, collapse)
        self._checkpointer.save(step, metrics["mAP"])


class Pictures(Observer):
    """Draws the method's pictures; training continues if they cannot be drawn."""

    def __init__(self, sheets: Sheets | None, cadence: Cadence, checkpointer: Checkpointer) -> None:
        self._sheets, self._cadence, self._checkpointer = sheets, cadence, checkpointer

    def on_epoch_end(self, step: Step) -> None:
        """Raises Stopped where the run is asked to stop meanwhile."""
        if self._sheets is None or not self._cadence.draws(step.epochs_done):
            return
        with self._checkpointer.interruptible(step):
            try:
                self._sheets.draw(step.state.variables, step.number)
            except InputError as error:
                log.warning("no pictures of step %d: %s", step.number, error)
