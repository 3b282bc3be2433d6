"""Training with observers of a test's own."""

from pathlib import Path

from jreid import config as configs
from jreid.data.dataset import load
from jreid.runs.init_from import RANDOM
from jreid.runs.lock import locked
from jreid.runs.protocols import draw_protocols
from jreid.runs.run import Run, source_of
from jreid.training.observer import Observer
from jreid.training.train import train


class Interrupt(Observer):
    """Raises KeyboardInterrupt where an epoch ends, counted from 1: before that is saved, or after.

    Epoch 0 is the first step.
    """

    def __init__(self, epochs, saved=False):
        self.epochs, self.saved = epochs, saved

    def on_step(self, step):
        epochs = step.epochs_done if step.ends_epoch else 0
        if not self.saved and epochs == self.epochs:
            raise KeyboardInterrupt

    def on_epoch_end(self, step):
        if self.saved and step.epochs_done == self.epochs:
            raise KeyboardInterrupt


def train_observed(flags, workdir, *observers):
    """Trains as `jreid train` with these flags, whose first one is --config; evaluates nothing."""
    source, *overrides = flags
    config = configs.load(source.removeprefix("--config="), overrides)
    run = Run(Path(workdir))
    with locked(run.workdir):
        dataset = load(source_of(config), Path(config.data.prepared))
        draws = draw_protocols(config, dataset)
        train(config, run, dataset, draws, RANDOM, observers=observers)
