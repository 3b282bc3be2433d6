"""Metrics that a test plants, and the observer that warns of them."""

import numpy as np

from jreid.training.monitor import EpochWarnings
from jreid.training.observer import Step

STEPS = 20  # of an epoch


def planted(means, noise=0.0):
    """A value for each step of as many epochs as there are means, `[epochs, steps]`.

    Args:
        means: one for each epoch.
        noise: the deviation from step to step.
    """
    random = np.random.default_rng(0).normal(size=(len(means), STEPS))
    return np.asarray(means, float)[:, None] + noise * (random - random.mean(1, keepdims=True))


def feed(warnings, curves, skipped=0):
    """Gives an observer the metrics of whole epochs, by name, but for the first steps."""
    epochs = len(next(iter(curves.values())))
    observer = EpochWarnings(warnings, np.arange(epochs + 1) * STEPS)
    for epoch in range(epochs):
        for step in range(STEPS):
            number = epoch * STEPS + step + 1
            if number > skipped:
                observer.on_metrics(number, {name: curves[name][epoch, step] for name in curves})
        observer.on_epoch_end(Step((epoch + 1) * STEPS, epoch, True, False, None))
