"""Trains a run: creates everything that the loop needs, and completes its errors."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from jreid.data.augmentation import Augmentation
from jreid.data.dataset import Dataset
from jreid.data.pipeline import training_batches
from jreid.data.resized import Images, resized_images
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.distributed.mesh import check_divisible, split
from jreid.distributed.preemption import StopSignals
from jreid.distributed.processes import main_process_first
from jreid.engine.compile_once import compiled_once
from jreid.engine.model import Model
from jreid.engine.out_of_memory import SMALLER_STEP, explain_out_of_memory
from jreid.engine.state import TrainState
from jreid.engine.step import TrainStep, make_train_step
from jreid.errors import InputError
from jreid.methods import Batch, Config, Metrics
from jreid.progress import COMPILING, TerminalBar, explained
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.init_from import Start
from jreid.runs.pictures import PEOPLE, Sheets
from jreid.runs.protocols import Draws, described
from jreid.runs.run import Run
from jreid.training.cadence import Cadence
from jreid.training.checkpointer import Checkpointer
from jreid.training.log import MetricWriter, StepProgress
from jreid.training.loop import take_steps
from jreid.training.monitor import EpochWarnings, FiniteCheck, MetricWarnings
from jreid.training.observer import Observer, Step
from jreid.training.plan import ended_epochs, epochs_of, images_of, plan_training
from jreid.training.profiler import Profiler
from jreid.training.spikes import SpikeDetector
from jreid.training.validation import Pictures, Validation, is_unscored

log = logging.getLogger(__name__)


def train(
    config: Config,
    run: Run,
    dataset: Dataset,
    draws: Draws,
    start: Start,
    profiled_steps: int = 0,
    grace: float | None = None,
    observers: Sequence[Observer] = (),
    loggers: Sequence[Observer] = (),
) -> None:
    """Trains from the run's latest checkpoint, or from the start, to the config's last epoch.

    Writes to the working directory only after checking config, weights and dataset.

    Args:
        draws: the queries and galleries that the config's protocols sample.
        start: the weights that the run starts from, unless it has a checkpoint.
        profiled_steps: how many steps to record into the run's `profile`.
        grace: as in `StopSignals`.
        observers: called after the run's own observers.
        loggers: called right after the run's own log, before the run is saved.

    Raises:
        InputError: before the first step, the config and the dataset do not fit, the run is trained
            beyond the config's last step, or there are too few steps to profile; later, a number
            that is not finite, or a checkpoint that cannot be written, which end the run.
        Stopped: the run was asked to stop; its state is saved.
    """
    table, plan = plan_training(config, dataset, run)
    with run.explain_revision():
        model = Model(config)
    rows = config.batch.identities * config.batch.images
    check_divisible(rows, "config.batch.identities x config.batch.images", model.mesh)
    options = Augmentation(**config.image, erase_fill=0.0)
    resized = _resized(config, table, options)
    sheets = None
    if config.pictures_every_epochs > 0:
        sheets = Sheets(model, table, PEOPLE, run.pictures, dataset.names)
    fresh = None if run.has_checkpoint() else model.state(start.fill(model.variables()))
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        state = fresh or _restored(run, model, checkpoints, plan.steps)
        first = int(state.step)
        profiler = Profiler(run.profile, profiled_steps, first, plan.starts)
        if fresh:
            checkpoints.save(fresh)
            checkpoints.finish()
        record = start.record if fresh else None
        run.claim(config, dataset, plan.steps, record, described(config))
        cadence = Cadence(model, draws.validation is not None)
        epochs = ended_epochs(plan, first)
        unscored = not fresh and is_unscored(cadence, checkpoints, epochs)
        if first >= plan.steps and not unscored:
            return
        batches = training_batches(
            table, plan, options, config.seed, first, split(model.mesh), resized
        )
        unlogged = [] if fresh else checkpoints.unlogged(first)
        with (
            name_last_checkpoint(checkpoints),
            explain_out_of_memory("a training step", SMALLER_STEP),
            MetricWriter(run.metrics, first, unscored) as writer,
            StepProgress(first, plan.steps, 2 * rows) as progress,
            StopSignals(grace, checkpoints.wait) as stop,
            profiler,
        ):
            checkpointer = Checkpointer(checkpoints, cadence, stop)
            watching = [
                FiniteCheck(),
                SpikeDetector(run.spikes, partial(images_of, table, plan)),
                writer,
                *loggers,
                progress,
                MetricWarnings(model.method.metric_warnings),
                EpochWarnings(model.method.metric_warnings, plan.starts),
                checkpointer,
                Validation(
                    *(model, dataset, draws.validation, cadence, checkpointer),
                    observers=[writer, *loggers, *observers],
                ),
                Pictures(sheets, cadence, checkpointer),
                profiler,
                *observers,
            ]
            if unscored:
                last = Step(first, epochs - 1, ends_epoch=True, stops=False, state=state)
                for observer in watching:
                    observer.on_epoch_end(last)
            take_steps(
                _step_functions(model, plan),
                plan.starts,
                state,
                batches,
                watching,
                logs=cadence.logs,
                stops=stop.after,
                unlogged=unlogged,
                images=2 * rows,
            )
            checkpoints.finish()


def _resized(config: Config, table: Table, options: Augmentation) -> Images | None:
    """The images resized once for all epochs, if the config asks for them."""
    if config.data.cache != "resized":
        return None
    prepared = Path(config.data.prepared)
    with TerminalBar() as bar:
        return main_process_first(lambda: resized_images(table, options, prepared, bar))


def _restored(run: Run, model: Model, checkpoints: Checkpoints, steps: int) -> TrainState:
    """The state of the newest checkpoint; InputError if it is beyond the config's last step."""
    with run.explain_revision():
        state = checkpoints.restore(checkpoints.newest(), model.shapes(), model.sharding)
    if int(state.step) > steps:
        raise InputError(
            f"the run in {run.workdir} is trained to step {int(state.step)}, beyond the {steps} of "
            "this config; choose another --workdir."
        )
    return state


def _step_functions(model: Model, plan: Plan) -> Callable[[int], TrainStep]:
    """Returns a function from an epoch to its phase's step function; logs each new phase."""
    phases, epochs = model.method.phases, epochs_of(plan)
    functions = {
        phase.name: make_train_step(
            model.method, model.optimizers, epochs, model.config.seed, model.mesh, phase
        )
        for phase in phases
    }
    begun: set[str] = set()

    def of_epoch(epoch: int) -> TrainStep:
        name = model.method.phase_at(epoch).name
        if name in begun:
            return functions[name]
        if len(phases) > 1:
            log.info("epoch %d: phase %s", epoch + 1, name)
        begun.add(name)
        return partial(_first_step, functions[name])

    return of_epoch


def _first_step(step: TrainStep, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    sentence = COMPILING.format("the training step")
    with explained(sentence), compiled_once(step, state, batch):
        return step(state, batch)


@contextlib.contextmanager
def name_last_checkpoint(checkpoints: Checkpoints) -> Iterator[None]:
    """Adds the last good checkpoint to the message of each InputError."""
    try:
        yield
    except InputError as error:
        step = checkpoints.last_good
        good = f"the last good checkpoint is step {step} in {checkpoints.folder}"
        if step is None:
            good = f"there is no good checkpoint in {checkpoints.folder}"
        raise InputError(f"{str(error).removesuffix('.')}; {good}.") from error
