"""Images a second of the training step, of several configs side by side in one process.

python -m experiments.benchmarks.train_step configs/agw.py:synthetic \
    configs/agw.py:synthetic,dtype=bfloat16

A config's fields follow its argument after commas. Batches are random and stay on the devices, so
this is the step alone; rounds of all configs alternate, and the median round counts.
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from jreid import config as configs
from jreid.training.model import Model
from jreid.training.sharding import split
from jreid.training.step import make_train_step

ROUNDS, STEPS = 5, 5


def main(sources: list[str]) -> None:
    """Prints a line for each config: images a second, and the ratio to the first."""
    rounds = {source: prepare(source) for source in sources}
    speeds: dict[str, list[float]] = {source: [] for source in sources}
    for _ in range(ROUNDS):
        for source, run in rounds.items():
            speeds[source].append(run())
    first = statistics.median(speeds[sources[0]])
    for source in sources:
        speed = statistics.median(speeds[source])
        print(f"{source}: {speed:.0f} images/s, {speed / first:.2f} of the first")


def prepare(source: str) -> Callable[[], float]:
    """A function that takes some steps and returns the images a second."""
    path, *fields = source.split(",")
    config = configs.load(path, [f"--config.{field}" for field in fields])
    model = Model(config)
    step = make_train_step(
        model.method, model.optimizers, jax.numpy.zeros_like, config.seed, model.mesh
    )
    rows = config.batch.identities * config.batch.images
    images = np.random.default_rng(0).normal(size=(2, rows, *config.image.size, 3))
    identity = np.repeat(np.arange(config.batch.identities), config.batch.images)
    visible, infrared = images.astype(np.float32)
    batch = {"visible": visible, "infrared": infrared, "identity": identity.astype(np.int32)}
    batch = jax.device_put(batch, split(model.mesh))
    state, _ = step(model.state(model.variables()), batch)

    def run() -> float:
        nonlocal state
        start = time.monotonic()
        for _ in range(STEPS):
            state, _ = step(state, batch)
        jax.block_until_ready(state)
        return 2 * rows * STEPS / (time.monotonic() - start)

    return run


if __name__ == "__main__":
    main(sys.argv[1:] or ["configs/agw.py:synthetic"])
