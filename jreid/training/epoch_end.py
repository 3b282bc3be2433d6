"""What happens between epochs, and when a run is asked to stop: scoring, saving, drawing."""

import logging
import warnings

from jreid.data.dataset import Dataset
from jreid.distributed.preemption import Interrupted, StopSignals
from jreid.engine.model import Model
from jreid.engine.state import TrainState
from jreid.errors import InputError, Stopped
from jreid.methods import Config
from jreid.runs import score
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.pictures import Sheets
from jreid.runs.protocols import Drawn, Draws
from jreid.training.log import MetricWriter, StepProgress
from jreid.training.monitor import CollapseDetector, FiniteCheck

log = logging.getLogger(__name__)


def is_scored(config: Config, draws: Draws, epochs: int) -> bool:
    """Whether a run is scored on its validation identities once `epochs` epochs are done."""
    due = epochs == config.epochs or epochs % max(config.evaluation.every_epochs, 1) == 0
    return epochs > 0 and due and draws.validation is not None


def is_unscored(config: Config, draws: Draws, checkpoints: Checkpoints, epochs: int) -> bool:
    """Whether a run that goes on was stopped after `epochs` epochs before it had its score.

    Args:
        checkpoints: whose newest one is of the end of that epoch.
    """
    return is_scored(config, draws, epochs) and checkpoints.score(checkpoints.newest()) is None


class EpochEnd:
    """Scores on the validation identities, saves and draws, as often as the config says."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        draws: Draws,
        sheets: Sheets | None,
        checkpoints: Checkpoints,
        metric_writer: MetricWriter,
        progress: StepProgress,
        stop: StopSignals,
    ) -> None:
        self.model, self.dataset, self.draws, self.sheets = model, dataset, draws, sheets
        self.checkpoints, self.metric_writer, self.progress = checkpoints, metric_writer, progress
        self._stop = stop
        self._collapse = CollapseDetector(checkpoints)

    def end_epoch(self, epochs: int, state: TrainState, finite_check: FiniteCheck) -> None:
        """`epochs` epochs are done.

        The state is saved before it is scored, and once more with its score, so that a run that is
        stopped meanwhile loses no step. `is_unscored` says whether that happened.

        Raises:
            InputError: the state is not finite.
            Stopped: the run is to stop; the state is saved.
        """
        try:
            self._end(epochs, state, finite_check)
        except Interrupted:
            self.save_and_stop(self._stop.status, state, finite_check)

    def _end(self, epochs: int, state: TrainState, finite_check: FiniteCheck) -> None:
        config, method = self.model.config, self.model.method
        last = epochs == config.epochs
        scored = is_scored(config, self.draws, epochs)
        # The next phase's first step is compiled for so long that a run may be stopped there.
        new_phase = method.phase_at(epochs).name != method.phase_at(epochs - 1).name
        if scored or last or new_phase or epochs % config.checkpoint_every_epochs == 0:
            finite_check.check_state(state)
            if self.checkpoints.latest != int(state.step):
                self.checkpoints.save(state)
        if scored and self.draws.validation:
            self.checkpoints.save(state, self._score(epochs, state, self.draws.validation))
        if self.sheets and (last or epochs % config.pictures_every_epochs == 0):
            with self._stop.interrupting():
                self._draw(self.sheets, state)

    def _draw(self, sheets: Sheets, state: TrainState) -> None:
        """Draws the pictures; training does not end for those that cannot be drawn."""
        try:
            sheets.draw(state.variables, int(state.step))
        except InputError as error:
            log.warning("no pictures of step %d: %s", int(state.step), error)

    def save_and_stop(self, status: int, state: TrainState, finite_check: FiniteCheck) -> None:
        """Saves the state, unless it is, and raises Stopped; InputError where it is not finite."""
        step = int(state.step)
        finite_check.check_state(state)
        if self.checkpoints.latest != step:
            self.checkpoints.save(state, unlogged=finite_check.unlogged())
            self.checkpoints.finish()
        raise Stopped(status, f"stopped and saved at step {step}; the same command goes on")

    def _score(self, epochs: int, state: TrainState, drawn: Drawn) -> float:
        """The mAP on the validation identities, told and recorded."""
        with self._stop.interrupting(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of collapse, which is told below
            table, features = score.split_embeddings(
                self.model, state.variables, self.dataset, "validation"
            )
            row = score.score(self.model, self.dataset, drawn, features)
        metrics = {"rank1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
        self.metric_writer.write(
            int(state.step), {f"validation/{name}": value for name, value in metrics.items()}
        )
        log.info(
            "epoch %d: validation rank-1 %.1f%%, mAP %.1f%% (protocol %s)",
            epochs,
            100 * metrics["rank1"],
            100 * metrics["mAP"],
            row["fingerprint"],
        )
        collapse = self._collapse.message(features, table.identity)
        if collapse:
            log.warning("epoch %d, step %d: %s", epochs, int(state.step), collapse)
        return metrics["mAP"]
