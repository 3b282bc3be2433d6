"""The training loop, which can start at any step.

Everything besides the steps is done by observers. Their order is a contract: a run can be resumed
bit for bit only because of it.

1. Check: the metrics of a step reach `on_metrics` before the step is logged or saved; there a
   metric that is not finite ends the run. A state is checked before it is saved.
2. Log: `on_step` writes the means that are due.
3. Save: `on_step` saves a run that is asked to stop, and `on_epoch_end` what is due, after step 2.

So nothing that failed its check is logged or saved, and all metrics up to a checkpoint's step are
either in `metrics.jsonl` or saved with the checkpoint as not yet logged: a resumed run drops the
lines of later steps, and writes every line once. The same holds for the score on the validation
identities, which is logged before the state is saved with it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

from jreid.engine.state import TrainState
from jreid.engine.step import TrainStep
from jreid.methods import Batch, Metrics
from jreid.training.observer import Observer, Step
from jreid.training.plan import Starts

TIMED_STEPS = 100  # the newest steps, whose mean is the speed


def take_steps(
    step_of_epoch: Callable[[int], TrainStep],
    starts: Starts,
    state: TrainState,
    batches: Iterable[Batch],
    observers: Sequence[Observer],
    *,
    logs: Callable[[int, bool], bool],
    stops: Callable[[int], bool],
    unlogged: Sequence[Mapping[str, float]] = (),
    images: int = 1,
) -> None:
    """Takes a step for each batch, and calls the observers in their order.

    Args:
        step_of_epoch: the function that takes the steps of an epoch, which is counted from 0.
        starts: the number of steps before each epoch, and of all, as `Plan.starts`.
        state: before the first batch, whose step may be any.
        logs: whether the means are due after a step, of its number and whether it ends its epoch.
        stops: whether the run is asked to stop after the step of a number.
        unlogged: metrics of steps before the first batch that are in no means yet.
        images: the number in each step.
    """
    metrics, clock = StepMetrics(observers, unlogged), StepClock(images)
    for number, batch in enumerate(batches, int(state.step) + 1):
        epoch = int(np.searchsorted(starts, number)) - 1
        state, found = step_of_epoch(epoch)(state, batch)
        metrics.add(number, found)
        ends_epoch = number == starts[epoch + 1]
        due, stopped = logs(number, ends_epoch), stops(number)
        if due or stopped:
            metrics.fetch()
        clock.tick()
        means = metrics.means() if due else None
        unlogged, speed = (*metrics.unlogged,), clock.images_per_second
        step = Step(number, epoch, ends_epoch, stopped, state, means, unlogged, speed)
        for observer in observers:
            observer.on_step(step)
        if ends_epoch:
            for observer in observers:
                observer.on_epoch_end(step)
            clock.pause()


class StepMetrics:
    """Fetches the metrics of each step one step late, so that the devices never wait for the host.

    Attributes:
        unlogged: the metrics of each step that has arrived and is in no means yet.
    """

    def __init__(
        self, observers: Sequence[Observer], unlogged: Sequence[Mapping[str, float]]
    ) -> None:
        """
        Args:
            observers: get the metrics when they arrive.
            unlogged: metrics of steps before the first batch that are in no means yet.
        """
        self.unlogged = [*unlogged]
        self._observers = observers
        self._pending: tuple[int, Metrics] | None = None

    def add(self, number: int, metrics: Metrics) -> None:
        """Takes a step's metrics on the devices, and fetches those of the step before."""
        self.fetch()
        self._pending = (number, metrics)

    def fetch(self) -> None:
        """Fetches the metrics of the newest step too."""
        if self._pending is None:
            return
        (number, metrics), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for observer in self._observers:
            observer.on_metrics(number, values)
        self.unlogged.append(values)

    def means(self) -> dict[str, float]:
        """The mean of each metric over the steps since the last call."""
        steps, self.unlogged = self.unlogged, []
        return {name: float(np.mean([metrics[name] for metrics in steps])) for name in steps[0]}


class StepClock:
    """The speed of the newest steps, without compilation and what happens between epochs."""

    def __init__(self, images: int) -> None:
        """`images`: the number in each step."""
        self._images = images
        self._seconds: deque[float] = deque(maxlen=TIMED_STEPS)
        self._last: float | None = None

    def tick(self) -> None:
        """Counts a step that is done."""
        now = time.monotonic()
        if self._last is not None:
            self._seconds.append(now - self._last)
        self._last = now

    def pause(self) -> None:
        """Leaves out the time until the next step is done."""
        self._last = None

    @property
    def images_per_second(self) -> float:
        """The speed of the newest timed steps; 0 before the second step."""
        return self._images * len(self._seconds) / sum(self._seconds) if self._seconds else 0.0
