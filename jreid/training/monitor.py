"""Checks the numbers of a run: a number that is not finite ends it, others give warnings."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from jreid.engine.state import TrainState
from jreid.engine.step import first_not_finite
from jreid.errors import InputError
from jreid.methods import MetricWarning
from jreid.training.observer import Observer, Step
from jreid.training.plan import Starts

log = logging.getLogger(__name__)


class FiniteCheck(Observer):
    """Ends a run whose metrics are not finite."""

    def on_metrics(self, number: int, metrics: Mapping[str, float]) -> None:
        """Raises InputError if a metric is not finite; the error names the metric and its step."""
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise _not_finite(f"{name} is {value}", number)


def check_state(state: TrainState) -> None:
    """Raises InputError if the state has a NaN or an infinity; the error names the array."""
    path = first_not_finite(state)
    if path:
        raise _not_finite(f"{path} is not finite", int(state.step))


def _not_finite(fault: str, number: int) -> InputError:
    return InputError(
        f"training stopped at step {number} because {fault}; lower config.optimizer.learning_rate "
        "and train into another --workdir."
    )


class MetricWarnings(Observer):
    """Warns of logged means that a method does not expect; again only after expected ones."""

    def __init__(self, warnings: Sequence[MetricWarning]) -> None:
        self._warnings = [warning for warning in warnings if warning.epochs is None]
        self._active: set[str] = set()

    def on_step(self, step: Step) -> None:
        """Checks the means, if any."""
        if step.means is not None:
            for message in self.messages(step.means):
                log.warning("step %d: %s", step.number, message)

    def messages(self, means: Mapping[str, float]) -> list[str]:
        """A sentence for each metric that is not as expected now and was the last time."""
        active = {
            name: warning.message for warning in self._warnings for name in _matches(warning, means)
        }
        new = [name for name in active if name not in self._active]
        self._active = {*active}
        return [f"{name} is {means[name]:.3g}: {active[name]}." for name in new]


class EpochWarnings(Observer):
    """Warns of what a method does not expect of an epoch, once for each metric and cause.

    An epoch of which only the rest was trained, since the run was stopped in it, is not judged.
    """

    def __init__(self, warnings: Sequence[MetricWarning], starts: Starts) -> None:
        """
        Args:
            warnings: those that have no epochs are left to `MetricWarnings`.
            starts: the number of steps before each epoch, and of all, as `Plan.starts`.
        """
        self._warnings, self._starts = warnings, starts
        self._steps: list[Mapping[str, float]] = []
        self._given: set[tuple[str, str]] = set()

    def on_metrics(self, number: int, metrics: Mapping[str, float]) -> None:
        """Keeps the metrics until the epoch ends."""
        self._steps.append(metrics)

    def on_epoch_end(self, step: Step) -> None:
        """Checks the values over the epoch."""
        steps, self._steps = self._steps, []
        if len(steps) < self._starts[step.epoch + 1] - self._starts[step.epoch]:
            return
        values = {name: np.array([metrics[name] for metrics in steps]) for name in steps[0]}
        for warning in self._warnings:
            if warning.epochs is None or step.epoch not in warning.epochs:
                continue
            for name in _matches(warning, values):
                if (name, warning.message) not in self._given:
                    self._given.add((name, warning.message))
                    log.warning(
                        "epoch %d, step %d: the mean of %s over this epoch is %.3g: %s.",
                        step.epochs_done,
                        step.number,
                        name,
                        values[name].mean(),
                        warning.message,
                    )


def _matches(warning: MetricWarning, values: Mapping[str, Any]) -> list[str]:
    """The names of the metrics that the warning applies to."""
    return [
        name
        for name, value in values.items()
        if fnmatchcase(name, warning.pattern) and warning.when(value)
    ]
