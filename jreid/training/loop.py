"""The one training loop: batches in, checkpoints and metrics out, from any step on."""

import logging
from collections.abc import Iterable
from functools import partial

from jreid.data.augmentation import Augmentation
from jreid.data.dataset import Dataset
from jreid.data.pipeline import training_batches
from jreid.data.samplers import Plan
from jreid.distributed.mesh import check_divisible, split
from jreid.distributed.preemption import StopSignals
from jreid.engine.model import Model
from jreid.engine.out_of_memory import explain_out_of_memory
from jreid.engine.state import TrainState
from jreid.engine.step import make_train_step
from jreid.methods import Batch, Config
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.init_from import Start
from jreid.runs.pictures import PEOPLE, Sheets
from jreid.runs.protocols import Draws, described
from jreid.runs.run import Run
from jreid.training.epoch_end import EpochEnd, is_unscored
from jreid.training.log import MetricWriter, StepProgress
from jreid.training.monitor import FiniteCheck, MetricWarnings
from jreid.training.plan import ended_epochs, epochs_of, images_of, plan_training
from jreid.training.profiler import Profiler
from jreid.training.spikes import SpikeDetector

log = logging.getLogger(__name__)


def train(
    config: Config,
    run: Run,
    dataset: Dataset,
    draws: Draws,
    start: Start,
    profiled_steps: int = 0,
    grace: float | None = None,
) -> None:
    """Trains from the run's latest checkpoint, or from the start, to the config's last epoch.

    The working directory is written to only once config, weights and dataset are known to fit.

    Args:
        draws: what the config's protocols draw from the dataset.
        start: the weights that the run starts from, unless it has a checkpoint.
        profiled_steps: how many steps to record into the run's `profile`.
        grace: as in `StopSignals`.

    Raises:
        InputError: the config and the dataset do not fit, or there are fewer steps than are to be
            profiled, told before the first step; or a number that is not finite, which stops the
            run.
    """
    table, plan = plan_training(config, dataset)
    model = Model(config)
    rows = config.batch.identities * config.batch.images
    check_divisible(rows, "config.batch.identities x config.batch.images", model.mesh)
    pictured = config.pictures_every_epochs > 0
    sheets = Sheets(model, table, PEOPLE, run.pictures) if pictured else None
    fresh = None if run.has_checkpoint() else model.state(start.fill(model.variables()))
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        state = fresh or checkpoints.restore(checkpoints.newest(), model.shapes(), model.sharding)
        if fresh:
            checkpoints.save(fresh)
            checkpoints.finish()
        run.claim(
            config,
            dataset,
            plan.steps,
            start.record if fresh else None,
            protocols=described(config),
        )
        first = int(state.step)
        epochs_done = ended_epochs(plan, first)
        unscored = not fresh and is_unscored(config, draws, checkpoints, epochs_done)
        if first >= plan.steps and not unscored:
            return
        profiler = Profiler(run.profile, profiled_steps, first, plan.starts)
        options = Augmentation(**config.image, erase_fill=0.0)
        batches = training_batches(table, plan, options, config.seed, first, split(model.mesh))
        spikes = SpikeDetector(run.spikes, partial(images_of, table, plan))
        finite_check = FiniteCheck(
            checkpoints, spikes, () if fresh else checkpoints.unlogged(first)
        )
        with (
            explain_out_of_memory("a training step", partial(_remedy, checkpoints)),
            MetricWriter(run.metrics, first, unscored) as metric_writer,
            StepProgress(first, plan.steps, 2 * rows) as progress,
            StopSignals(grace, checkpoints.wait) as stop,
            profiler,
        ):
            epochs = EpochEnd(
                model, dataset, draws, sheets, checkpoints, metric_writer, progress, stop
            )
            if unscored:
                epochs.end_epoch(epochs_done, state, finite_check)
            _train_steps(model, plan, state, batches, epochs, finite_check, stop, profiler)


def _train_steps(
    model: Model,
    plan: Plan,
    state: TrainState,
    batches: Iterable[Batch],
    epochs: EpochEnd,
    finite_check: FiniteCheck,
    stop: StopSignals,
    profiler: Profiler,
) -> None:
    config, method, progress = model.config, model.method, epochs.progress
    step_functions = {
        phase.name: make_train_step(
            method, model.optimizers, epochs_of(plan), config.seed, model.mesh, phase
        )
        for phase in method.phases
    }
    alarms, before = MetricWarnings(method.metric_warnings), ""
    for step, batch in enumerate(batches, int(state.step) + 1):
        epoch, _ = plan.epoch_of(step - 1)
        phase = method.phase_at(epoch).name
        if phase != before and len(method.phases) > 1:
            log.info("epoch %d: phase %s", epoch + 1, phase)
        before = phase
        profiler.before(step)
        state, metrics = step_functions[phase](state, batch)
        finite_check.add(step, metrics)
        progress.advance()
        if message := profiler.after(step, state):
            log.info(message)
        ends = step == plan.starts[epoch + 1]
        # Also where an epoch ends, so that one's lines do not depend on the one before.
        if ends or step % config.log_every_steps == 0:
            means = finite_check.means()
            speed = {"images_per_second": progress.images_per_second}
            epochs.metric_writer.write(step, {"epoch": epoch, **means, **speed})
            progress.show(epoch, means)
            for warning in alarms.messages(means):
                log.warning("step %d: %s", step, warning)
        if stop.after(step):
            epochs.save_and_stop(stop.status, state, finite_check)
        if ends:
            epochs.end_epoch(epoch + 1, state, finite_check)
            progress.pause()
        epochs.checkpoints.check()


def _remedy(checkpoints: Checkpoints) -> str:
    return (
        f"the last good checkpoint is step {checkpoints.latest}; lower config.batch.identities or "
        "config.batch.images, set --config.dtype=bfloat16, or use more devices"
    )
