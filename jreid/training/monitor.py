"""Checks the numbers of a run: a number that is not finite ends it, others give warnings."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from jreid.engine.state import TrainState
from jreid.engine.step import first_not_finite
from jreid.errors import InputError
from jreid.methods import MetricWarning
from jreid.training.observer import Observer, Step

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
    """Warns of means that a method does not expect, once each time that they begin to."""

    def __init__(self, warnings: Sequence[MetricWarning]) -> None:
        self._warnings = warnings
        self._active: set[str] = set()

    def on_step(self, step: Step) -> None:
        """Looks at the means, where there are any."""
        if step.means is not None:
            for message in self.messages(step.means):
                log.warning("step %d: %s", step.number, message)

    def messages(self, means: Mapping[str, float]) -> list[str]:
        """A sentence for each metric that is warned of now and was not the last time."""
        active = {
            name: warning.message
            for warning in self._warnings
            for name, value in means.items()
            if fnmatchcase(name, warning.pattern) and warning.when(value)
        }
        new = [name for name in active if name not in self._active]
        self._active = {*active}
        return [f"{name} is {means[name]:.2g}: {active[name]}." for name in new]
