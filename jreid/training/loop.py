"""The one training loop: batches in, checkpoints and metrics out, from any step on."""

from collections.abc import Callable, Iterable

from jreid.data.dataset import Dataset
from jreid.data.pipeline import training_batches
from jreid.data.samplers import Plan
from jreid.data.transforms import Augmentation
from jreid.methods import Batch, Config, Variables
from jreid.training import scoring
from jreid.training.checkpoints import Checkpoints
from jreid.training.model import Model
from jreid.training.pictures import PEOPLE, Sheets
from jreid.training.records import Recorder, StepProgress
from jreid.training.run import Run
from jreid.training.schedule import epochs_of, plan_training
from jreid.training.sharding import check_divisible, split
from jreid.training.state import TrainState
from jreid.training.step import make_train_step
from jreid.training.watch import AlarmWatch, FiniteWatch


def train(
    config: Config, run: Run, dataset: Dataset, start: Callable[[Variables], Variables]
) -> None:
    """Trains from the run's latest checkpoint, or from the start, to the config's last epoch.

    The working directory is written to only once config, weights and dataset are known to fit.

    Args:
        start: puts the weights that `config.weights` names into the initial variables.

    Raises:
        InputError: the config and the dataset do not fit, told before the first step; or a number
            that is not finite, which stops the run.
    """
    table, plan = plan_training(config, dataset)
    scoring.check_protocols(config, dataset)
    model = Model(config)
    rows = config.batch.identities * config.batch.images
    check_divisible(rows, "config.batch.identities x config.batch.images", model.mesh)
    pictured = config.pictures_every_epochs > 0
    sheets = Sheets(model, table, PEOPLE, run.pictures) if pictured else None
    fresh = None if run.has_checkpoint() else model.state(start(model.variables()))
    run.claim(config, dataset.fingerprint)
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        state = fresh or model.restore(checkpoints, checkpoints.newest())
        if fresh:
            checkpoints.save(fresh)
        first = int(state.step)
        if first == plan.steps:
            return
        options = Augmentation(**config.image, erase_fill=0.0)
        batches = training_batches(table, plan, options, config.seed, first, split(model.mesh))
        with (
            Recorder(run.metrics, first) as recorder,
            StepProgress(first, plan.steps, 2 * rows) as progress,
        ):
            epochs = EpochEnd(model, dataset, sheets, checkpoints, recorder, progress)
            _train_steps(model, plan, state, batches, epochs)


def _train_steps(
    model: Model, plan: Plan, state: TrainState, batches: Iterable[Batch], epochs: "EpochEnd"
) -> None:
    config, method, progress = model.config, model.method, epochs.progress
    step_functions = {
        phase.name: make_train_step(
            method, model.optimizers, epochs_of(plan), config.seed, model.mesh, phase
        )
        for phase in method.phases
    }
    watch, alarms, before = FiniteWatch(epochs.checkpoints), AlarmWatch(method.alarms), ""
    for step, batch in enumerate(batches, int(state.step) + 1):
        epoch, _ = plan.epoch_of(step - 1)
        phase = method.phase_at(epoch).name
        if phase != before and method.warm_ups:
            progress.say(f"epoch {epoch + 1}: phase {phase}")
        before = phase
        state, metrics = step_functions[phase](state, batch)
        watch.add(step, metrics)
        progress.advance()
        ends = step == plan.starts[epoch + 1]
        # Also where an epoch ends, since a run that resumes there has not seen the steps before.
        if ends or step % config.log_every_steps == 0:
            means = watch.means()
            speed = {"images_per_second": progress.images_per_second}
            epochs.recorder.write(step, {"epoch": epoch, **means, **speed})
            progress.tell(epoch, means)
            for warning in alarms.told(means):
                progress.say(f"step {step}: {warning}")
        if ends:
            epochs.end(epoch + 1, state, watch)
            progress.pause()


class EpochEnd:
    """What happens between epochs: scoring on the validation identities, saving and drawing."""

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

    def end(self, epochs: int, state: TrainState, watch: FiniteWatch) -> None:
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

    def _score(self, epochs: int, state: TrainState) -> float:
        """The mAP on the validation identities, told and recorded."""
        config = self.model.config
        wanted = [scoring.monitored(config)]
        (row,) = scoring.score(self.model, state.variables, self.dataset, wanted)
        told = {"rank1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
        self.recorder.write(
            int(state.step), {f"validation/{name}": value for name, value in told.items()}
        )
        self.progress.say(
            f"epoch {epochs}: validation rank-1 {told['rank1']:.1%}, mAP {told['mAP']:.1%} "
            f"(protocol {row['fingerprint']})"
        )
        return told["mAP"]
