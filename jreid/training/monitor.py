"""Watches every step's metrics and every saved state: a run whose numbers are not finite stops.

A method's alarms ring for numbers that are finite and yet amiss.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import jax
import numpy as np
from jaxtyping import Float, Int

from jreid.engine.state import TrainState
from jreid.engine.step import first_not_finite
from jreid.errors import InputError
from jreid.methods import Metrics, MetricWarning
from jreid.runs.checkpoints import Checkpoints
from jreid.training.spikes import SpikeDetector

COLLAPSED = 0.999


class FiniteCheck:
    """Looks at a step's metrics one step late, so that the devices never wait for the host."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        spikes: SpikeDetector,
        unlogged: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """`unlogged` is what the run that goes on had seen since it last asked for means."""
        self._checkpoints, self._spikes = checkpoints, spikes
        self._pending: tuple[int, Metrics] | None = None
        self._seen = [*unlogged]

    def add(self, step: int, metrics: Metrics) -> None:
        """Takes a step's metrics and checks those of the step before.

        Raises:
            InputError: a metric is not finite; names it, its step and the last good checkpoint.
        """
        self._check()
        self._pending = (step, metrics)

    def means(self) -> dict[str, float]:
        """The mean of each metric since the last call; checks the newest step too."""
        self._check()
        seen, self._seen = self._seen, []
        return {name: float(np.mean([values[name] for values in seen])) for name in seen[0]}

    def unlogged(self) -> list[Mapping[str, float]]:
        """The metrics since the last call of `means`, by step; checks the newest step too."""
        self._check()
        return self._seen

    def check_state(self, state: TrainState) -> None:
        """Raises InputError where the newest step or the state holds a NaN or an infinity."""
        self._check()
        fault = first_not_finite(state)
        if fault:
            self._stop(f"{fault} is not finite", int(state.step))

    def _check(self) -> None:
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for name, value in values.items():
            if not np.isfinite(value):
                self._stop(f"{name} is {value}", step)
        self._spikes.look(step, values)
        self._seen.append(values)

    def _stop(self, fault: str, step: int) -> None:
        raise InputError(
            f"training stopped at step {step} because {fault}; the last good checkpoint is step "
            f"{self._checkpoints.latest} in {self._checkpoints.folder}; lower "
            "config.optimizer.learning_rate and train into another --workdir."
        )


class MetricWarnings:
    """Looks at the means that are logged, and tells of an alarm when it begins to ring."""

    def __init__(self, alarms: Sequence[MetricWarning]) -> None:
        self._alarms = alarms
        self._ringing: set[str] = set()

    def messages(self, means: Mapping[str, float]) -> list[str]:
        """A sentence for each metric that rings now and did not the last time."""
        ringing = {
            name: alarm.message
            for alarm in self._alarms
            for name, value in means.items()
            if fnmatchcase(name, alarm.pattern) and alarm.when(value)
        }
        new = [name for name in ringing if name not in self._ringing]
        self._ringing = {*ringing}
        return [f"{name} is {means[name]:.2g}: {ringing[name]}." for name in new]


class CollapseDetector:
    """Looks at validation embeddings, and tells when all of them begin to point one way.

    It goes by the mean cosine similarity of different people, since ranking goes by the cosine too.
    0.999 is two and a half degrees. Healthy runs of the tiny config were seen as high as 0.998 at
    the end of the first epoch, and below 0.6 two epochs later.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints, self._collapsed = checkpoints, False

    def message(
        self, features: Float[np.ndarray, "n d"], identities: Int[np.ndarray, " n"]
    ) -> str | None:
        """A sentence where the embeddings have collapsed and had not the last time."""
        similarity = mean_negative_similarity(features, identities)
        before, self._collapsed = self._collapsed, similarity > COLLAPSED
        if before or not self._collapsed:
            return None
        good = self._checkpoints.best  # scored, and so looked at, before this one
        left = "no checkpoint was scored before" if good is None else f"step {good} was the best"
        return (
            f"the model has collapsed, since validation embeddings of different people "
            f"have a mean cosine similarity of {similarity:.4f}; {left} in "
            f"{self._checkpoints.folder}: lower config.optimizer.learning_rate and train into "
            "another --workdir."
        )


def mean_negative_similarity(
    features: Float[np.ndarray, "n d"], identities: Int[np.ndarray, " n"]
) -> float:
    """The mean cosine similarity over all pairs of embeddings of different identities.

    An embedding of zeros points nowhere: all of them count as pointing the same way.
    """
    features = features.astype(np.float64)
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    nowhere = np.full(features.shape[1], features.shape[1] ** -0.5)
    pointing = np.where(norm == 0, nowhere, features / np.where(norm == 0, 1, norm))
    _, person, images = np.unique(identities, return_inverse=True, return_counts=True)
    sums = np.zeros((len(images), features.shape[1]))
    np.add.at(sums, person, pointing)
    # The products of all pairs are those of the sums.
    strangers = (sums.sum(axis=0) ** 2).sum() - (sums**2).sum()
    return float(strangers / (images.sum() ** 2 - (images**2).sum()))
