"""Observers of the training loop, and the step that they get."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jreid.engine.state import TrainState


class Step(NamedTuple):
    """A finished step.

    Attributes:
        number: of the step, from 1.
        epoch: the epoch of the step, from 0.
        ends_epoch: whether it is the last step of its epoch.
        stops: whether the run was asked to stop after it.
        state: after the step.
        means: of each metric since the last step that had means; None where no means are due.
        unlogged: the metrics of each step that is in no means yet.
        images_per_second: of the newest steps, with reading and logging; 0 before the second step.
    """

    number: int
    epoch: int
    ends_epoch: bool
    stops: bool
    state: TrainState
    means: Mapping[str, float] | None = None
    unlogged: Sequence[Mapping[str, float]] = ()
    images_per_second: float = 0.0

    @property
    def epochs_done(self) -> int:
        """The number of finished epochs, if this step ends one."""
        return self.epoch + 1


class Observer:
    """Called by the loop during training.

    Each method does nothing unless it is overridden. Every process has its own observers, which are
    called in the same order. An InputError ends the run.
    """

    def on_metrics(self, number: int, metrics: Mapping[str, float]) -> None:
        """The metrics of a step have arrived, in any case before it is logged or saved.

        Usually that is one step later, so that the devices never wait for the host.
        """

    def on_step(self, step: Step) -> None:
        """A step is done; the devices may still compute its state."""

    def on_epoch_end(self, step: Step) -> None:
        """The last step of an epoch is done; `on_step` was called for it before."""

    def on_validation(self, number: int, metrics: Mapping[str, float]) -> None:
        """The state after a step was scored on the validation identities: `validation/mAP` etc.

        Called from `on_epoch_end` of the observer that scores it, before that score is saved.
        """
