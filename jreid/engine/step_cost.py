"""The training cost of a method: its parameters, and the time and memory of a step."""

import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jreid.distributed.mesh import split
from jreid.engine.model import Model
from jreid.engine.step import make_train_step
from jreid.methods import Phase
from jreid.progress import COMPILING, explained

ROUNDS, STEPS = 5, 5


class Costs(NamedTuple):
    """Of one training step in the method's last phase, on random images.

    Attributes:
        parameters: the number in all networks.
        seconds: the time of a step without data loading; the median of several rounds.
        memory: bytes that the compiled step needs on each device, as XLA estimates: arguments with
            the batch, results, and temporary arrays.
    """

    parameters: int
    seconds: float
    memory: int


def measure(configs: Sequence[Any], rounds: int = ROUNDS, mesh: Mesh | None = None) -> list[Costs]:
    """The costs of each config; rounds alternate, so that load on the machine affects all.

    Args:
        configs: of runs.
        rounds: of some steps for each config.
        mesh: the devices; None for all.
    """
    prepared = [_Step(config, mesh) for config in configs]
    for _ in range(rounds):
        for step in prepared:
            step.take(STEPS)
    return [step.costs() for step in prepared]


class _Step:
    def __init__(self, config: Any, mesh: Mesh | None) -> None:
        model = Model(config, mesh)
        variables = model.variables()
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        self.batch = jax.device_put(random_batch(config), split(model.mesh))
        state = model.state(variables)
        with explained(COMPILING.format("the training step")):
            traced, bound = trace_step(model, state, self.batch)
            compiled = traced.lower().compile()
        self.memory = memory_of(compiled)
        self.step = partial(compiled, *bound)
        self.state, _ = self.step(state, self.batch)
        self.rounds: list[float] = []

    def take(self, steps: int) -> None:
        jax.block_until_ready(self.state)
        start = time.monotonic()
        for _ in range(steps):
            self.state, _ = self.step(self.state, self.batch)
        jax.block_until_ready(self.state)
        self.rounds.append((time.monotonic() - start) / steps)

    def costs(self) -> Costs:
        return Costs(self.parameters, statistics.median(self.rounds), self.memory)


def trace_step(
    model: Model, state: Any, batch: Any, phase: Phase | None = None, mesh: Mesh | None = None
) -> tuple[Any, tuple[Any, ...]]:
    """Traces a training step that is only measured: it is always of the first epoch.

    Args:
        model: the method and its optimizers.
        state, batch: arrays, or their shapes.
        phase: of the method; None for its last.
        mesh: the devices; None for the model's.

    Returns:
        The step as `jax.jit` traces it, and its arguments before the state and the batch.
    """
    step = make_train_step(
        model.method, model.optimizers, _first_epoch, model.config.seed, mesh or model.mesh, phase
    )
    function, constants = step.bind(state, batch)
    return function.trace(constants, state, batch), (constants,)


def memory_of(compiled: Any) -> int:
    """Bytes that compiled code needs on each device: arguments, results and temporary arrays."""
    analysis = compiled.memory_analysis()
    needed = (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
    )
    return needed - analysis.alias_size_in_bytes  # results in the memory of arguments


def _first_epoch(step: Int[Array, ""]) -> Float[Array, ""]:
    return jnp.zeros(())


def batch_shapes(config: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes and dtypes of a config's Batch."""
    rows = config.batch.identities * config.batch.images
    images = jax.ShapeDtypeStruct((rows, *config.image.size, 3), np.float32)
    identity = jax.ShapeDtypeStruct((rows,), np.int32)
    return {"visible": images, "infrared": images, "identity": identity}


def random_batch(config: Any) -> dict[str, np.ndarray]:
    """A Batch of fixed random noise, in the config's sizes."""
    identity = np.repeat(np.arange(config.batch.identities), config.batch.images)
    images = np.random.default_rng(0).normal(size=(2, len(identity), *config.image.size, 3))
    visible, infrared = images.astype(np.float32)
    return {"visible": visible, "infrared": infrared, "identity": identity.astype(np.int32)}
