"""What compiling costs by method: instructions, convolutions, and seconds of each stage.

python -m experiments.benchmarks.compile
python -m experiments.benchmarks.compile --size=sysu_mm01 agw:sysu_mm01,dtype=bfloat16 pfanet
taskset -c 0,1 python -m experiments.benchmarks.compile idkl

Without a config: every method. A config may have fields after commas; without a colon it is a
method at `--size`. Three programs of each are compiled: the network's initialization, a step of
the last phase (the largest), and the embedding of a batch of visible images. Only shapes are
given, so nothing is computed, and no compilation cache is used.

Tracing is Python's, lowering makes StableHLO, compiling is XLA's. Seconds are by the clock, and of
all processors where other programs run. Instructions and convolutions are counted in the program
that XLA is given and in the one that it makes; distinct convolutions are those of the given one
that differ in shapes, strides or padding, which is what a GPU's autotuning tries algorithms for.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks.training import load_config
from jreid.config_file import shipped_configs
from jreid.engine.model import Model
from jreid.engine.step import make_embed
from jreid.engine.step_cost import batch_shapes, trace_step
from jreid.process import configure

PROGRAMS = ("initialization", "step", "embedding")


class Cost(NamedTuple):
    """Of one program.

    Attributes:
        instructions: given to XLA, and after its optimization.
        convolutions: the same.
        distinct: those given to XLA that differ in shapes, strides, padding or dilation.
        trace: seconds by the clock.
        lower: the same.
        compile: the same.
        work: seconds of all processors for all three.
    """

    instructions: tuple[int, int]
    convolutions: tuple[int, int]
    distinct: int
    trace: float
    lower: float
    compile: float
    work: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table with a row for each program of each config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", help="configs, each with fields after commas")
    parser.add_argument("--size", default="synthetic", help="of methods without an argument")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="which to compile")
    options = parser.parse_args(arguments)
    programs = options.programs.split(",")
    if unknown := [name for name in programs if name not in PROGRAMS]:
        parser.error(f"{unknown[0]} is none of the programs: {', '.join(PROGRAMS)}")
    print(
        "| config | program | instructions | optimized | convolutions | optimized | distinct "
        "| tracing, s | lowering, s | XLA, s | all, s | processors, s |\n" + "|---" * 12 + "|"
    )
    for source in options.configs or shipped_configs():
        method, *fields = source.split(",", 1)
        whole = ",".join([method if ":" in method else f"{method}:{options.size}", *fields])
        for program, cost in costs(load_config(whole), programs):
            print(f"| {whole} | {program} | {_cells(cost)} |", flush=True)


def costs(config: Any, programs: Sequence[str] = PROGRAMS) -> Iterator[tuple[str, Cost]]:
    """The costs of some programs of a config, by name; InputError if it cannot be built."""
    model = Model(config)
    batch, state = batch_shapes(config), model.shapes()
    embedded = jax.ShapeDtypeStruct(
        (config.evaluation.batch_size, *config.image.size, 3), np.float32
    )
    embed: Any = make_embed(model.method, model.mesh, config.evaluation.flip)
    variables = {"params": state.params, **state.model_state}
    made: dict[str, Callable[[], Any]] = {
        "initialization": lambda: model.initialization().trace(np.uint32(0)),
        "step": lambda: trace_step(model, state, batch)[0],
        "embedding": lambda: embed.trace(variables, embedded, "visible"),
    }
    for program in programs:
        yield program, measure(made[program])


def measure(trace: Callable[[], Any]) -> Cost:
    """The cost of a program, from a function that traces it."""
    work, start = time.process_time(), time.monotonic()
    traced = trace()
    after_trace = time.monotonic()
    lowered = traced.lower()
    after_lower = time.monotonic()
    compiled = lowered.compile()
    end, work = time.monotonic(), time.process_time() - work
    texts = lowered.compiler_ir("hlo").as_hlo_text(), compiled.as_text()
    instructions, convolutions = (
        (texts[0].count(word), texts[1].count(word)) for word in (" = ", " convolution(")
    )
    seconds = after_trace - start, after_lower - after_trace, end - after_lower
    return Cost(instructions, convolutions, distinct(lowered.as_text()), *seconds, work)


def distinct(program: str) -> int:
    """The number of convolutions of a StableHLO program that differ in more than their operands."""
    return len({*re.findall(r"stablehlo\.convolution\([^)]*\)(.*)", program)})


def _cells(cost: Cost) -> str:
    counts = [*cost.instructions, *cost.convolutions, cost.distinct]
    seconds = [cost.trace, cost.lower, cost.compile, cost.trace + cost.lower + cost.compile]
    return " | ".join([*(f"{n:,}" for n in counts), *(f"{s:.1f}" for s in (*seconds, cost.work))])


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
