"""Seconds of k-reciprocal re-ranking, of the public dense forms, and of a shortcut by faiss.

python -m experiments.benchmarks.reranking --sizes sysu,market

The features are random, of 2,048 dimensions, with a fixed seed; k1 = 20, k2 = 6, lambda = 0.3. All
methods take turns in one process, and the median round counts. Memory is the growth of the peak of
a separate process. `faiss` needs faiss-cpu; it uses another distance, so that only its ranks agree.
"""

import argparse
import importlib
import importlib.util
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from experiments.benchmarks import dense_reranking as dense
from experiments.benchmarks.evaluation.methods import SIZES, Problem, make_problem
from experiments.benchmarks.measure import by_turns, growth, growth_in_a_process
from jreid.evaluation import KINDS, Rerank, mean_metrics, rerank
from jreid.evaluation.ranking.cmc import score_distances
from jreid.process import configure

K1, K2, WEIGHT = 20, 6, 0.3
ARRAYS = ("query", "gallery")
MODULE = "experiments.benchmarks.reranking"


def ours(query: np.ndarray, gallery: np.ndarray, kind: str, k3: int | None = None) -> np.ndarray:
    """By sparse codes."""
    return rerank(query, gallery, Rerank(kind, K1, K2, WEIGHT, k3))


def by_dense_form(query: np.ndarray, gallery: np.ndarray, kind: str) -> np.ndarray:
    """By N x N distances, ranks and weights."""
    return dense.rerank(query, gallery, kind, K1, K2, WEIGHT)


def faiss(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Jaccard distance of lists that faiss finds, weighted by unscaled distances, no lambda."""
    features = np.concatenate([query, gallery])
    index = importlib.import_module("faiss").IndexFlatL2(features.shape[1])
    index.add(features)
    ranked = index.search(features, K1)[1]
    N = len(features)
    near, half = ([_reciprocal(ranked, i, k - 1) for i in range(N)] for k in (K1, round(K1 / 2)))
    weights = np.zeros((N, N), np.float32)
    for i in range(N):
        members = dense.expand(near[i], half.__getitem__)
        weight = np.exp(2 * (features[members] @ features[i]) - 2)
        weights[i, members] = weight / weight.sum()
    weights = np.array([weights[ranked[i, :K2]].mean(axis=0) for i in range(N)])
    return dense.jaccard(weights, len(query))


DENSE = ("standard", "extended", "constrained")
METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    **{kind: partial(ours, kind=kind) for kind in KINDS},
    "extended_ma_lqe": partial(ours, kind="extended", k3=2),
    **{f"dense_{kind}": partial(by_dense_form, kind=kind) for kind in DENSE},
    "faiss": faiss,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="sysu,market")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", help="measures one method on saved features: METHOD,FOLDER")
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
    here = [name for name in methods if name != "faiss" or importlib.util.find_spec("faiss")]
    # The first run compiles.
    metrics = {name: describe(METHODS[name](*problem[:2]), problem) for name in here}
    seconds = by_turns({name: partial(METHODS[name], *problem[:2]) for name in here}, rounds)
    print(f"\n{size}: {len(problem.query)} x {len(problem.gallery)}")
    for kind in DENSE:
        if {kind, f"dense_{kind}"} <= set(here):
            difference = METHODS[kind](*problem[:2])
            difference -= METHODS[f"dense_{kind}"](*problem[:2])
            np.abs(difference, out=difference)
            print(
                f"{kind} - dense: largest {difference.max():.1e}, mean {difference.mean():.1e}, "
                f"{(difference > 1e-5).mean():.1e} of all above 1e-5"
            )
    print("| method | s | least | processor s | of first | rank-1 | mAP | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in methods:
        if name not in here:
            print(f"| {name} | not installed | | | | | | |")
            continue
        wall, work = map(statistics.median, seconds[name])
        ratio = wall / statistics.median(seconds[here[0]].wall)
        times = f"{wall:.2f} | {min(seconds[name].wall):.2f} | {work:.2f} | {ratio:.2f}"
        arrays = {array: getattr(problem, array) for array in ARRAYS}
        peak = growth_in_a_process(MODULE, name, arrays) / 1e6
        print(f"| {name} | {times} | {metrics[name]} | {peak:.0f} |", flush=True)


def describe(distance: np.ndarray, problem: Problem) -> str:
    """Rank-1 and mAP of re-ranked distances."""
    blocks = np.array_split(distance, -(-len(distance) // 256))
    metrics = mean_metrics(score_distances(blocks, *problem[2:], cmc="image"))
    return f"{metrics.cmc[1]:.6f} | {metrics.mean_average_precision:.6f}"


def memory_of(method: str, folder: str) -> int:
    """The bytes by which a method and its result raise this process's peak."""
    features = [np.load(f"{folder}/{name}.npy") for name in ARRAYS]
    return growth(lambda: METHODS[method](*features))


def _reciprocal(ranked: np.ndarray, i: int, k: int) -> np.ndarray:
    forward = ranked[i, : k + 1]
    return forward[np.nonzero(ranked[forward, : k + 1] == i)[0]]


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()
