"""Seconds of CMC, mAP and mINP by counting, beside other ways to rank a gallery.

python -m experiments.benchmarks.evaluation --sizes sysu,regdb,market,msmt

Made-up features of 2,048 dimensions, seeded. All methods run by turns in one process and the median
round counts; memory is the growth of the peak of a process of its own. The bare product, which
ranks nothing, is the floor of all that compute the distances exactly.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.evaluation.methods import (
    DIMENSIONS,
    METHODS,
    SIZES,
    Problem,
    installed,
    make_problem,
)
from jreid.evaluation import QueryScores, mean_metrics
from jreid.process import configure


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="sysu,regdb,market")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", help="measures one method on a saved problem: METHOD,FILE")
    options = parser.parse_args(arguments)
    if options.memory_of:
        print(memory_of(*options.memory_of.split(",", 1)))
        return
    sizes, methods = options.sizes.split(","), options.methods.split(",")
    for unknown in sorted({*sizes} - {*SIZES} | {*methods} - {*METHODS}):
        parser.error(f"{unknown} is none of the sizes {[*SIZES]} or methods {[*METHODS]}.")
    for size in sizes:
        compare(size, methods, options.rounds)


def compare(size: str, methods: list[str], rounds: int) -> None:
    """Times the methods by turns and prints a row for each."""
    problem = make_problem(*SIZES[size])
    here = [name for name in methods if installed(name)]
    results = {name: METHODS[name](problem) for name in here}  # compiles too
    walls: dict[str, list[float]] = {name: [] for name in here}
    works: dict[str, list[float]] = {name: [] for name in here}
    for _ in range(rounds):
        for name in here:
            wall, work = time.perf_counter(), time.process_time()
            METHODS[name](problem)
            walls[name].append(time.perf_counter() - wall)
            works[name].append(time.process_time() - work)
    print(f"\n{size}: {len(problem.query)} x {len(problem.gallery)} x {DIMENSIONS}")
    print("| method | s | processor s | of ours | rank-1 | mAP | equal ranks | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in methods:
        if name not in here:
            print(f"| {name} | not installed | | | | | | |")
            continue
        wall, work = statistics.median(walls[name]), statistics.median(works[name])
        ratio = wall / statistics.median(walls[here[0]])
        agreement = describe(results[name], results[here[0]])
        peak = memory_in_a_process(name, problem) / 1e6
        print(f"| {name} | {wall:.3f} | {work:.3f} | {ratio:.2f} | {agreement} | {peak:.0f} |")


def describe(result: QueryScores | None, ours: QueryScores | None) -> str:
    """Rank-1, mAP and how many queries' ranks equal ours."""
    if result is None:
        return " | | "
    metrics = mean_metrics(result)
    if not result.rank.any():
        return f" | {metrics.mean_average_precision:.6f} | "
    equal = f"{(result.rank == ours.rank).mean():.5f}" if ours is not None else ""
    return f"{metrics.cmc[1]:.6f} | {metrics.mean_average_precision:.6f} | {equal}"


def memory_of(method: str, file: str) -> int:
    """How much a method raises this process's peak, in bytes."""
    # Load the problem from a file, since making it has its own peak of memory.
    problem = Problem(*(np.load(f"{file}/{field}.npy") for field in Problem._fields))
    jnp.zeros(8).block_until_ready()
    before = peak()
    METHODS[method](problem)
    return peak() - before


def peak() -> int:
    """The most bytes that this process held so far; Linux. (getrusage begins at the parent's.)"""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def memory_in_a_process(method: str, problem: Problem) -> int:
    """The same, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        for field, values in problem._asdict().items():
            np.save(f"{folder}/{field}.npy", values)
        command = [sys.executable, "-m", "experiments.benchmarks.evaluation"]
        command += ["--memory-of", f"{method},{folder}"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
