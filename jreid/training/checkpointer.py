"""Saves checkpoints during training: when they are due, and when the run is asked to stop."""

import contextlib
from collections.abc import Iterator

from jreid.distributed.preemption import Interrupted, StopSignals
from jreid.errors import Stopped
from jreid.runs.checkpoints import Checkpoints
from jreid.training.cadence import Cadence
from jreid.training.monitor import check_state
from jreid.training.observer import Observer, Step


class Checkpointer(Observer):
    """Saves the state, if it is finite.

    Attributes:
        checkpoints: the checkpoints that it writes.
    """

    def __init__(self, checkpoints: Checkpoints, cadence: Cadence, stop: StopSignals) -> None:
        self.checkpoints, self._cadence, self._stop = checkpoints, cadence, stop

    def on_step(self, step: Step) -> None:
        """Raises Stopped if the run has to stop, and InputError if a save has failed."""
        self.checkpoints.check()
        if step.stops:
            self.save_and_stop(step)

    def on_epoch_end(self, step: Step) -> None:
        """Saves the state if a checkpoint is due; InputError if it is not finite."""
        if self._cadence.saves(step.epochs_done):
            self._save_if_new(step)

    def save(self, step: Step, score: float | None = None) -> None:
        """Saves the state in the background, with the mAP on the validation identities if known."""
        self.checkpoints.save(step.state, score, step.unlogged)

    def save_and_stop(self, step: Step) -> None:
        """Saves the state, if not yet saved, and raises Stopped; InputError if it is not finite."""
        self._save_if_new(step)
        self.checkpoints.finish()
        raise Stopped(
            self._stop.status,
            f"stopped and saved at step {step.number}; give the same command again to resume",
        )

    def _save_if_new(self, step: Step) -> None:
        check_state(step.state)
        if self.checkpoints.latest != step.number:
            self.save(step)

    @contextlib.contextmanager
    def interruptible(self, step: Step) -> Iterator[None]:
        """A context for long work after a step: if the run is asked to stop, it ends at once.

        Raises:
            Stopped: the run was asked to stop; the state is saved.
        """
        try:
            with self._stop.interrupting():
                yield
        except Interrupted:
            self.save_and_stop(step)
