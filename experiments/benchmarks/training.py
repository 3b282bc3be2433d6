"""Images per second of whole training steps: ours, and the same step in PyTorch.

python -m experiments.benchmarks.training
python -m experiments.benchmarks.training agw:synthetic idkl:synthetic
python -m experiments.benchmarks.training --data agw:synthetic
python -m experiments.benchmarks.training --by-player pfanet:synthetic
taskset -c 0 python -m experiments.benchmarks.training --identities=2 --processor-time

Without a config: ResNet-50 with a stem for each modality, BNNeck, cross-entropy and batch-hard
triplet loss, SGD, at SYSU-MM01's size and number of classes, from random weights. PyTorch's network
is channels-last, eager and compiled, on the same images. Its convolutions and matrix products are
bfloat16 by autocast if ours are.

XLA counts the operations of our step before it optimizes. Their rate is compared with the rate at
which the same device multiplies two large matrices of the same dtype.

With configs: each config, compared with the first one. A config's fields follow its argument after
commas: `agw:synthetic,dtype=bfloat16`. With --by-player: each player of a method alone, and each of
its phases.

Batches are random and stay on the devices, so only the step is measured. With `--data`, JPEG files
of SYSU-MM01's sizes are read and augmented too, by our pipeline for our step and by a DataLoader
for PyTorch's, both from `input.py`. All take turns, and the median round counts.

On CPUs, --processor-time counts the seconds that the process computed, on all its cores, and not
those that it waited for one: what one core does can be measured while other programs use it too.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from experiments.benchmarks import input as reading
from jreid import config as configs
from jreid.data.augmentation import Augmentation
from jreid.data.plain_folder import read_folder
from jreid.distributed.mesh import split
from jreid.engine.model import Model
from jreid.engine.step_cost import batch_shapes, random_batch, trace_step
from jreid.methods import Phase
from jreid.process import configure

SAME_AS_PYTORCH = (
    "agw:sysu_mm01,backbone.non_local=(0,0,0,0),pooling=average,triplet.kind=batch_hard"
)
DTYPES = ("float32", "bfloat16")
Step = Callable[[Any], None]  # takes a batch and returns when the step is done
Batches = Iterator[Any]
Clock = Callable[[], float]  # seconds


class Contender(NamedTuple):
    """A training step ready to be timed.

    Attributes:
        name: its name in the output.
        images: in a batch, of both modalities.
        parameters: of all networks.
        compile_seconds: from the start to the end of the first step.
        memory: bytes that a step needs, as XLA reports them, or None.
        operations: floating-point operations of a step, or None.
        dtype: of the convolutions.
        step: runs a step.
        batches: an endless iterator.
    """

    name: str
    images: int
    parameters: int
    compile_seconds: float
    memory: int | None
    operations: float | None
    dtype: str
    step: Step
    batches: Batches


class Program(NamedTuple):
    """A training step of ours that is compiled; the device holds nothing for it yet.

    Attributes:
        name: its name in the output.
        model: the method on its devices.
        step: `(state, batch) -> state, metrics`.
        seconds: of tracing and compiling.
        memory: bytes that a step needs, as XLA reports them.
        operations: floating-point operations of a step.
    """

    name: str
    model: Model
    step: Callable[[Any, Any], tuple[Any, Any]]
    seconds: float
    memory: int
    operations: float

    def start(self, state: Any, batches: Batches) -> Contender:
        """Takes the first step; the state is donated."""

        def step(batch: Any) -> None:
            nonlocal state
            state, _ = self.step(state, batch)
            jax.block_until_ready(state)

        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        start = time.monotonic()
        step(next(batches))
        return Contender(
            self.name,
            2 * self.model.config.batch.identities * self.model.config.batch.images,
            parameters,
            self.seconds + time.monotonic() - start,
            self.memory,
            self.operations,
            self.model.config.dtype,
            step,
            batches,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each contender: images per second, and the ratio to the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", help="configs (default: ResNet-50 and PyTorch's)")
    parser.add_argument("--by-player", action="store_true", help="measure each player and phase")
    parser.add_argument("--data", action="store_true", help="read the images, too")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="of ResNet-50")
    parser.add_argument("--identities", type=int, default=reading.P, help="of ResNet-50's batch")
    parser.add_argument("--processor-time", action="store_true", help="do not count waiting")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="steps of a round")
    options = parser.parse_args(arguments)
    dtypes = options.dtypes.split(",")
    if unknown := [dtype for dtype in dtypes if dtype not in DTYPES]:
        parser.error(f"--dtypes: {unknown[0]} is none of {', '.join(DTYPES)}")
    if options.data and options.identities != reading.P:
        parser.error(f"--data reads batches of {reading.P} identities: leave out --identities")
    with TemporaryDirectory() as folder:
        images = Path(folder) if options.data else None
        if images:
            reading.render(images, 320)
        if options.configs:
            made = (ours(source, options.by_player, images) for source in options.configs)
            contenders = [contender for each in made for contender in each]
        else:
            contenders = list(beside_pytorch(dtypes, images, options.identities))
        clock = time.process_time if options.processor_time else time.monotonic
        compare(contenders, options.rounds, options.steps, clock)


def compare(contenders: Sequence[Contender], rounds: int, steps: int, clock: Clock) -> None:
    """Lets the contenders take turns and prints them."""
    speeds: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, found in zip(contenders, speeds, strict=True):
            found.append(measure(contender, steps, clock))
    medians = [statistics.median(found) for found in speeds]
    dtypes = {contender.dtype for contender in contenders if contender.operations}
    rates = {dtype: matrix_rate(dtype, clock) for dtype in dtypes}
    for contender, speed in zip(contenders, medians, strict=True):
        ours = ""
        if contender.operations:
            reached, rate = contender.operations * speed / contender.images, rates[contender.dtype]
            ours = f", {reached / 1e12:.3g} TFLOP/s: {reached / rate:.2f} of the matrix product's"
        memory = f", {contender.memory / 1e6:.0f} MB per step" if contender.memory else ""
        print(
            f"{contender.name}: {speed:.1f} images/s, {speed / medians[0]:.2f} of the first; "
            f"{contender.parameters / 1e6:.2f} M parameters, first step after "
            f"{contender.compile_seconds:.0f} s{memory}{ours}"
        )


def matrix_rate(dtype: str, clock: Clock = time.monotonic) -> float:
    """Operations per second of the default device when it multiplies two square matrices."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    product = jax.jit(jax.numpy.matmul)
    product(left, right).block_until_ready()
    seconds = []
    for _ in range(10):
        start = clock()
        product(left, right).block_until_ready()
        seconds.append(clock() - start)
    return 2 * size**3 / statistics.median(seconds)


def measure(contender: Contender, steps: int, clock: Clock = time.monotonic) -> float:
    """Images per second; batches that are ready in advance are used first."""
    contender.step(next(contender.batches))
    start = clock()
    for _ in range(steps):
        contender.step(next(contender.batches))
    return contender.images * steps / (clock() - start)


def beside_pytorch(
    dtypes: Sequence[str], images: Path | None, identities: int
) -> Iterator[Contender]:
    """PyTorch's step, eager and compiled, and ours, in each dtype.

    Args:
        images: a folder to read; None for random images.
        identities: of a batch.
    """
    from experiments.benchmarks import training_torch as peer

    classes = load_config(SAME_AS_PYTORCH).data.identities
    for dtype in dtypes:
        for compiled in (False, True):
            yield peer.contender(dtype, compiled, classes, images, identities)
        fields = f"dtype={dtype},batch.identities={identities}"
        model = Model(load_config(f"{SAME_AS_PYTORCH},{fields}"))
        yield _contender(f"jreid, {dtype}", model, folder=images)


def ours(source: str, by_player: bool = False, images: Path | None = None) -> Iterator[Contender]:
    """The step of a config; or of each of its players alone, and of its phases.

    Args:
        source: the config and, after commas, fields of it.
        images: a folder to read; None for random images.
    """
    model, name = Model(load_config(source)), source
    if not by_player:
        yield _contender(name, model, folder=images)
        return
    variables = model.variables()
    for player in model.method.players:
        alone = Phase("", (player,))
        yield _contender(f"{name}, {player.name} alone", model, alone, images, variables)
    for phase in model.method.phases:
        yield _contender(f"{name}, phase {phase.name}", model, phase, images, variables)


def _contender(
    name: str,
    model: Model,
    phase: Phase | None = None,
    folder: Path | None = None,
    variables: Any = None,
) -> Contender:
    program = compile_step(name, model, phase)
    start = time.monotonic()
    state = model.state(variables or model.variables())
    seconds = time.monotonic() - start
    batches = _read(model.config, folder) if folder else random_batches(model)
    contender = program.start(state, batches)
    return contender._replace(compile_seconds=contender.compile_seconds + seconds)


def compile_step(
    name: str,
    model: Model,
    phase: Phase | None = None,
    compiler_options: dict[str, Any] | None = None,
) -> Program:
    """Compiles a step from the shapes of its arguments.

    Args:
        phase: of the method; None for its last.
        compiler_options: of XLA, besides those of the step.
    """
    start = time.monotonic()
    traced, bound = trace_step(model, model.shapes(), batch_shapes(model.config), phase)
    compiled = traced.lower().compile(compiler_options=compiler_options)
    seconds = time.monotonic() - start
    memory = compiled.memory_analysis().temp_size_in_bytes
    step = partial(compiled, *bound)
    return Program(name, model, step, seconds, memory, operations(model, phase))


def operations(model: Model, phase: Phase | None) -> float:
    """Floating-point operations of a step, which XLA counts for a CPU and not for a GPU."""
    mesh = Mesh(np.array(jax.devices("cpu")[:1]), ("data",), axis_types=(AxisType.Auto,))
    traced, _ = trace_step(model, model.shapes(), batch_shapes(model.config), phase, mesh)
    return traced.lower().cost_analysis()["flops"]


def random_batches(model: Model) -> Batches:
    """One batch of random noise on the model's devices, again and again."""
    batch = jax.device_put(random_batch(model.config), split(model.mesh))
    while True:
        yield batch


def _read(config: Any, folder: Path) -> Batches:
    """The config's augmentation and batch, by the pipeline of the benchmark of reading."""
    names, paths, _ = read_folder(folder)
    images = [path.read_bytes() for path in paths]
    options = Augmentation(**config.image, erase_fill=0.0)
    identities, each = config.batch.identities, config.batch.images
    pipeline = reading.ours(names, images, options, identities, each)
    while True:
        yield from pipeline()


def load_config(source: str) -> Any:
    """The config of a name or file and, after commas that are not within brackets, fields of it."""
    path, *fields = re.split(r",(?![^(]*\))", source)
    return configs.load(path, [f"--config.{field}" for field in fields])


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
