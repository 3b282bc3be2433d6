"""Seconds, memory and recall of a search over a large gallery: exact, and approximate by faiss.

python -m experiments.benchmarks.search --gallery=100000 --dimensions=2048

The embeddings are made up: people at random places, 20 images around each, with a fixed seed. Each
method has a process of its own, and its memory is the growth of the peak beyond the embeddings.
`first` is a search with all that it needs before: XLA's compiling, or making the lists.
`approximate` also measures its recall with 8 queries, each time. `graph` is faiss's HNSW, which
jreid does not use: it is there to compare.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.benchmarks.measure import peak
from jreid.process import configure
from jreid.retrieval.approximate import read_or_build
from jreid.retrieval.hits import Embedded, Hits

IMAGES, SPREAD = 20, 0.7  # of each person: their number, and their distance from the middle
NEIGHBORS, CANDIDATES = 32, 64  # of the graph: faiss's M and efSearch
MODULE = "experiments.benchmarks.search"
Search = Callable[[np.ndarray], np.ndarray]  # from queries to rows of the gallery


def exact(gallery: np.ndarray, top: int, folder: Path) -> Search:
    """jreid's own search."""
    return lambda query: _rows(query, gallery, None, top)


def approximate(gallery: np.ndarray, top: int, folder: Path) -> Search:
    """jreid's approximate search: faiss's IVF."""
    lists = read_or_build(folder / "g.lists.npz", gallery)
    return lambda query: _rows(query, gallery, lists, top)


def graph(gallery: np.ndarray, top: int, folder: Path) -> Search:
    """faiss's HNSW."""
    import faiss

    index = faiss.IndexHNSWFlat(gallery.shape[1], NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = CANDIDATES
    index.add(gallery / np.linalg.norm(gallery, axis=1, keepdims=True))
    return lambda query: index.search(query / np.linalg.norm(query, axis=1, keepdims=True), top)[1]


METHODS = {"exact": exact, "approximate": approximate, "graph": graph}


def _rows(query: np.ndarray, gallery: np.ndarray, lists: object, top: int) -> np.ndarray:
    sides = [Embedded([], one) for one in (query, gallery)]
    return Hits(sides[0], sides[1]._replace(approximate=lists), top).rows


def make(folder: Path, images: int, queries: int, dimensions: int) -> None:
    """Writes the embeddings of gallery and queries."""
    random = np.random.default_rng(0)
    people = random.normal(size=(-(-images // IMAGES), dimensions)).astype(np.float32)
    for name, which in (
        ("gallery", np.arange(images) // IMAGES),
        ("query", random.integers(0, len(people), queries)),
    ):
        noise = random.standard_normal((len(which), dimensions), np.float32)
        np.save(folder / name, people[which] + SPREAD * noise)


def measure(method: str, folder: Path, top: int) -> None:
    """Searches in this process, and writes the rows and the measurements."""
    gallery, query = (np.load(folder / f"{name}.npy") for name in ("gallery", "query"))
    before, start = peak(), time.perf_counter()
    search = METHODS[method](gallery, top, folder)
    rows = search(query)
    first = time.perf_counter() - start
    start = time.perf_counter()
    search(query)
    again = time.perf_counter() - start
    np.savez(folder / "found.npz", rows=rows, seconds=(first, again), memory=peak() - before)


def main() -> None:
    configure()
    parser = argparse.ArgumentParser(MODULE)
    for name, default in (("gallery", 100_000), ("queries", 100), ("dimensions", 2048)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        method, folder = options.measure
        measure(method, Path(folder), options.top)
        return
    size = f"{options.gallery:,} x {options.dimensions:,}"
    print(f"gallery {size}, {options.queries} queries, the {options.top} nearest")
    print(f"{'':13}  first, s  again, s  memory, MB  recall")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.gallery, options.queries, options.dimensions)
        truth = None
        for method in METHODS:
            command = [sys.executable, "-m", MODULE, f"--top={options.top}", "--measure"]
            subprocess.run([*command, method, name], check=True)
            with np.load(folder / "found.npz") as found:
                rows, (first, again), memory = found["rows"], found["seconds"], found["memory"]
            truth = rows if truth is None else truth
            recall = np.mean([np.isin(a, b).mean() for a, b in zip(rows, truth, strict=True)])
            print(f"{method:13}  {first:8.2f}  {again:8.3f}  {memory / 1e6:10,.0f}  {recall:.4f}")


if __name__ == "__main__":
    main()
