"""Seconds of CMC, mAP and mINP by counting, compared with other ways to rank a gallery.

python -m experiments.benchmarks.evaluation --sizes sysu,regdb,market,msmt

The features are random, of 2,048 dimensions, with a fixed seed. All methods take turns in one
process, and the median round counts. Memory is the growth of the peak of a separate process. The
bare product ranks nothing; no method that computes the distances exactly can be faster.
"""

import argparse
import statistics
from collections.abc import Sequence
from functools import partial

import numpy as np

from experiments.benchmarks.evaluation.methods import (
    DIMENSIONS,
    METHODS,
    SIZES,
    Problem,
    installed,
    make_problem,
)
from experiments.benchmarks.measure import by_turns, growth, growth_in_a_process
from jreid.evaluation import QueryScores, mean_metrics
from jreid.process import configure

MODULE = "experiments.benchmarks.evaluation"


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
    seconds = by_turns({name: partial(METHODS[name], problem) for name in here}, rounds)
    print(f"\n{size}: {len(problem.query)} x {len(problem.gallery)} x {DIMENSIONS}")
    print("| method | s | processor s | of ours | rank-1 | mAP | equal ranks | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in methods:
        if name not in here:
            print(f"| {name} | not installed | | | | | | |")
            continue
        wall, work = map(statistics.median, seconds[name])
        ratio = wall / statistics.median(seconds[here[0]].wall)
        agreement = describe(results[name], results[here[0]])
        peak = growth_in_a_process(MODULE, name, problem._asdict()) / 1e6
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


def memory_of(method: str, folder: str) -> int:
    """The bytes by which a method raises this process's peak."""
    problem = Problem(*(np.load(f"{folder}/{field}.npy") for field in Problem._fields))
    return growth(lambda: METHODS[method](problem))


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
