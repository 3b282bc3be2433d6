"""The one training loop: batches in, checkpoints and metrics out, from any step on."""

from collections.abc import Iterable
from functools import partial

from jreid.data.dataset import Dataset
from jreid.data.pipeline import training_batches
from jreid.data.samplers import Plan
from jreid.data.transforms import Augmentation
from jreid.methods import Batch, Config
from jreid.training import scoring
from jreid.training.checkpoints import Checkpoints
from jreid.training.epoch_end import EpochEnd, is_unscored
from jreid.training.exhaustion import naming_exhaustion
from jreid.training.initial import Start
from jreid.training.model import Model
from jreid.training.pictures import PEOPLE, Sheets
from jreid.training.profile import Profiler
from jreid.training.records import Recorder, StepProgress
from jreid.training.run import Run
from jreid.training.schedule import ended_epochs, epochs_of, images_of, plan_training
from jreid.training.sharding import check_divisible, split
from jreid.training.spikes import SpikeWatch
from jreid.training.state import TrainState
from jreid.training.step import make_train_step
from jreid.training.stopping import StopRequests
from jreid.training.watch import AlarmWatch, Watch


def train(
    config: Config,
    run: Run,
    dataset: Dataset,
    start: Start,
    profiled_steps: int = 0,
    grace: float | None = None,
) -> None:
    """Trains from the run's latest checkpoint, or from the start, to the config's last epoch.

    The working directory is written to only once config, weights and dataset are known to fit.

    Args:
        start: the weights that the run starts from, unless it has a checkpoint.
        profiled_steps: how many steps to record into the run's `profile`.
        grace: as in `StopRequests`.

    Raises:
        InputError: the config and the dataset do not fit, or there are fewer steps than are to be
            profiled, told before the first step; or a number that is not finite, which stops the
            run.
    """
    table, plan = plan_training(config, dataset)
    scoring.check_protocols(config, dataset)
    model = Model(config)
    rows = config.batch.identities * config.batch.images
    check_divisible(rows, "config.batch.identities x config.batch.images", model.mesh)
    pictured = config.pictures_every_epochs > 0
    sheets = Sheets(model, table, PEOPLE, run.pictures) if pictured else None
    fresh = None if run.has_checkpoint() else model.state(start.fill(model.variables()))
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        state = fresh or model.restore(checkpoints, checkpoints.newest())
        if fresh:
            checkpoints.save(fresh)
            checkpoints.finish()
        run.claim(config, dataset, plan.steps, start.record if fresh else None)
        first = int(state.step)
        epochs_done = ended_epochs(plan, first)
        unscored = not fresh and is_unscored(config, dataset, checkpoints, epochs_done)
        if first >= plan.steps and not unscored:
            return
        profiler = Profiler(run.profile, profiled_steps, first, plan.starts)
        options = Augmentation(**config.image, erase_fill=0.0)
        batches = training_batches(table, plan, options, config.seed, first, split(model.mesh))
        spikes = SpikeWatch(run.spikes, partial(images_of, table, plan))
        watch = Watch(checkpoints, spikes, () if fresh else checkpoints.unlogged(first))
        with (
            naming_exhaustion("a training step", partial(_remedy, checkpoints)),
            Recorder(run.metrics, first, unscored) as recorder,
            StepProgress(first, plan.steps, 2 * rows) as progress,
            StopRequests(grace, checkpoints.wait) as stop,
            profiler,
        ):
            epochs = EpochEnd(model, dataset, sheets, checkpoints, recorder, progress, stop)
            if unscored:
                epochs.end(epochs_done, state, watch)
            _train_steps(model, plan, state, batches, epochs, watch, stop, profiler)


def _train_steps(
    model: Model,
    plan: Plan,
    state: TrainState,
    batches: Iterable[Batch],
    epochs: EpochEnd,
    watch: Watch,
    stop: StopRequests,
    profiler: Profiler,
) -> None:
    config, method, progress = model.config, model.method, epochs.progress
    step_functions = {
        phase.name: make_train_step(
            method, model.optimizers, epochs_of(plan), config.seed, model.mesh, phase
        )
        for phase in method.phases
    }
    alarms, before = AlarmWatch(method.metric_warnings), ""
    for step, batch in enumerate(batches, int(state.step) + 1):
        epoch, _ = plan.epoch_of(step - 1)
        phase = method.phase_at(epoch).name
        if phase != before and len(method.phases) > 1:
            progress.say(f"epoch {epoch + 1}: phase {phase}")
        before = phase
        profiler.before(step)
        state, metrics = step_functions[phase](state, batch)
        watch.add(step, metrics)
        progress.advance()
        if told := profiler.after(step, state):
            progress.say(told)
        ends = step == plan.starts[epoch + 1]
        # Also where an epoch ends, so that one's lines do not depend on the one before.
        if ends or step % config.log_every_steps == 0:
            means = watch.means()
            speed = {"images_per_second": progress.images_per_second}
            epochs.recorder.write(step, {"epoch": epoch, **means, **speed})
            progress.tell(epoch, means)
            for warning in alarms.told(means):
                progress.say(f"step {step}: {warning}")
        if stop.after(step):
            epochs.leave(stop.status, state, watch)
        if ends:
            epochs.end(epoch + 1, state, watch)
            progress.pause()
        epochs.checkpoints.check()


def _remedy(checkpoints: Checkpoints) -> str:
    return (
        f"the last good checkpoint is step {checkpoints.latest}; lower config.batch.identities or "
        "config.batch.images, set --config.dtype=bfloat16, or use more devices"
    )
