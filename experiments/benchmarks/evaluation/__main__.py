"""Seconds of CMC, mAP and mINP by counting, compared with other ways to rank a gallery.

python -m experiments.benchmarks.evaluation --sizes sysu,regdb,market,msmt

The features are random, of 2,048 dimensions, with a fixed seed. All methods take turns in one
process, and the median round counts; a ratio is the median over rounds. Memory is the growth of the
peak of a separate process. The bare product ranks nothing; no method that computes the distances
exactly can be faster. The size `trials` compares ten trials of SYSU-MM01 with one.
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
    bare_product,
    installed,
    make_problem,
    make_trials,
)
from experiments.benchmarks.measure import by_turns, growth, growth_in_a_process
from jreid.evaluation import QueryScores, mean_metrics
from jreid.evaluation.ranking.trials import rank_trials
from jreid.process import configure

MODULE = "experiments.benchmarks.evaluation"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="sysu,regdb,market,trials")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--memory-of", help="measures one method on a saved problem: METHOD,FILE")
    options = parser.parse_args(arguments)
    if options.memory_of:
        print(memory_of(*options.memory_of.split(",", 1)))
        return
    sizes, methods = options.sizes.split(","), options.methods.split(",")
    for unknown in sorted({*sizes} - {*SIZES, "trials"} | {*methods} - {*METHODS}):
        parser.error(
            f"{unknown} is none of the sizes {[*SIZES, 'trials']} or methods {[*METHODS]}."
        )
    for size in sizes:
        if size == "trials":
            compare_trials(options.rounds)
        else:
            compare(size, methods, options.rounds, options.memory)


def compare(size: str, methods: list[str], rounds: int, memory: bool) -> None:
    """Times the methods by turns and prints a row for each."""
    problem = make_problem(*SIZES[size])
    here = [name for name in methods if installed(name)]
    results = {name: METHODS[name](problem) for name in here}  # compiles too
    seconds = by_turns({name: partial(METHODS[name], problem) for name in here}, rounds)
    print(f"\n{size}: {len(problem.query)} x {len(problem.gallery)} x {DIMENSIONS}")
    product = "bare_product" if "bare_product" in here else here[0]
    print(f"| method | s | processor s | of {product} | rank-1 | mAP | equal ranks | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in methods:
        if name not in here:
            print(f"| {name} | not installed | | | | | | |")
            continue
        wall, work = map(statistics.median, seconds[name])
        ratio = statistics.median(np.divide(seconds[name].wall, seconds[product].wall))
        agreement = describe(results[name], results[here[0]])
        peak = f"{growth_in_a_process(MODULE, name, problem._asdict()) / 1e6:.0f}" if memory else ""
        print(f"| {name} | {wall:.3f} | {work:.3f} | {ratio:.2f} | {agreement} | {peak} |")


def compare_trials(rounds: int) -> None:
    """Times ten trials of SYSU-MM01, one of them, and one gallery of all images of the ten."""
    problem, galleries = make_trials()
    Q, N = len(problem.query), len(problem.query) + len(problem.gallery)
    features = np.concatenate([problem.query, problem.gallery])
    identity = np.concatenate([problem.query_identity, problem.gallery_identity])
    group = np.concatenate([problem.query_group, problem.gallery_group])

    def rank(rows: np.ndarray) -> list[QueryScores]:
        queries = np.tile(np.arange(Q), (len(rows), 1))
        return rank_trials(features, identity, queries, Q + rows, group, group, cmc="identity")

    union = np.unique(galleries)
    runs = {
        "one trial": partial(rank, galleries[:1]),
        "all images of ten trials": partial(rank, union[None]),
        "ten trials": partial(rank, galleries),
        "product with all images": partial(
            bare_product, problem._replace(gallery=features[Q + union])
        ),
    }
    for run in runs.values():
        run()
    seconds = by_turns(runs, rounds)
    print(f"\ntrials: {Q} x {galleries.shape[1]}, of {len(union)} images, {N} rows")
    print("| | s | processor s | of one trial |")
    print("|---|---|---|---|")
    for name, (wall, work) in seconds.items():
        ratio = statistics.median(np.divide(wall, seconds["one trial"].wall))
        times = f"{statistics.median(wall):.3f} | {statistics.median(work):.3f}"
        print(f"| {name} | {times} | {ratio:.2f} |")


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
