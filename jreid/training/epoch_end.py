"""What happens between epochs, and when a run is asked to stop: scoring, saving, drawing."""

import warnings

from jreid.data.dataset import Dataset
from jreid.errors import Stopped
from jreid.training import scoring
from jreid.training.checkpoints import Checkpoints
from jreid.training.model import Model
from jreid.training.pictures import Sheets
from jreid.training.records import Recorder, StepProgress
from jreid.training.state import TrainState
from jreid.training.watch import CollapseWatch, Watch


class EpochEnd:
    """Scores on the validation identities, saves and draws, as often as the config says."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        sheets: Sheets | None,
        checkpoints: Checkpoints,
        recorder: Recorder,
        progress: StepProgress,
    ) -> None:
        self.model, self.dataset, self.sheets = model, dataset, sheets
        self.checkpoints, self.recorder, self.progress = checkpoints, recorder, progress
        self._collapse = CollapseWatch(checkpoints)

    def end(self, epochs: int, state: TrainState, watch: Watch) -> None:
        """`epochs` epochs are done. Raises InputError where the state is not finite."""
        config = self.model.config
        last = epochs == config.epochs
        due = last or epochs % max(config.evaluation.every_epochs, 1) == 0
        scored = due and scoring.validates(config, self.dataset)
        if scored or last or epochs % config.checkpoint_every_epochs == 0:
            watch.check_state(state)
            self.checkpoints.save(state, self._score(epochs, state) if scored else None)
        if self.sheets and (last or epochs % config.pictures_every_epochs == 0):
            self.sheets.draw(state.variables, int(state.step))

    def leave(self, status: int, state: TrainState, watch: Watch) -> None:
        """Saves the state, unless it is, and raises Stopped; InputError where it is not finite."""
        step = int(state.step)
        watch.check_state(state)
        if self.checkpoints.latest != step:
            self.checkpoints.save(state, unlogged=watch.unlogged())
            self.checkpoints.finish()
        raise Stopped(status, f"stopped and saved at step {step}; the same command goes on")

    def _score(self, epochs: int, state: TrainState) -> float:
        """The mAP on the validation identities, told and recorded."""
        wanted = [scoring.monitored(self.model.config)]
        table, features = scoring.split_embeddings(
            self.model, state.variables, self.dataset, "validation"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of collapse, which is told below
            (row,) = scoring.score(self.model, self.dataset, table, features, wanted)
        told = {"rank1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
        self.recorder.write(
            int(state.step), {f"validation/{name}": value for name, value in told.items()}
        )
        self.progress.say(
            f"epoch {epochs}: validation rank-1 {told['rank1']:.1%}, mAP {told['mAP']:.1%} "
            f"(protocol {row['fingerprint']})"
        )
        collapse = self._collapse.told(features, table.identity)
        if collapse:
            self.progress.say(f"epoch {epochs}, step {int(state.step)}: {collapse}")
        return told["mAP"]
