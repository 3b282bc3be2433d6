"""Approximate search of a large gallery by faiss: a graph of neighbors (HNSW), kept in a file.

The graph finds almost all of the nearest images without comparing a query with each of them. Its
file holds the graph alone; the embeddings stay in the index. faiss does not check what it reads as
jreid does: use only files that you made yourself.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError
from jreid.files import write_whole
from jreid.paths import require_file
from jreid.progress import ProgressBar, silent

VERSION = 1  # of the file
NEIGHBORS = 32  # of each image in the graph, faiss's M
AT_ONCE = 1024  # images added to the graph between two updates of the bar
LEAST_CANDIDATES = 64  # images that a search keeps as it follows the graph, faiss's efSearch
SAMPLE = 32  # queries that the recall is measured with


class Approximate(NamedTuple):
    """A graph of a gallery's images; only this module looks inside.

    Attributes:
        graph: faiss's index without embeddings.
        flat: faiss's exact index, which holds the unit embeddings.
    """

    graph: Any
    flat: Any

    def search(
        self, query: Float[np.ndarray, "q d"], k: int
    ) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
        """For each query about the k nearest rows, nearest first, and their cosines."""
        unit = _unit(query)
        self.graph.hnsw.efSearch = max(LEAST_CANDIDATES, 2 * k)
        similarities, rows = self.graph.search(unit, k)
        short = (rows < 0).any(axis=1)  # the graph did not lead to k images
        if short.any():
            similarities[short], rows[short] = self.flat.search(unit[short], k)
        return rows.astype(np.int32), similarities

    def recall(self, query: Float[np.ndarray, "q d"], rows: Int[np.ndarray, "q k"]) -> float:
        """The share of the truly nearest images that were found, over at most 32 queries."""
        some = np.unique(np.linspace(0, len(query) - 1, SAMPLE).astype(int))
        _, exact = self.flat.search(_unit(query[some]), rows.shape[1])
        found = [len({*a} & {*b}) for a, b in zip(rows[some].tolist(), exact.tolist(), strict=True)]
        return sum(found) / exact.size


def read_or_build(
    file: Path, features: Float[np.ndarray, "n d"], bar: ProgressBar = silent
) -> Approximate:
    """The graph in a file, if it is of these embeddings; else a new one, which is written there.

    Raises:
        InputError: faiss is not installed, or the file is damaged or cannot be written.
    """
    faiss = _faiss()
    flat = faiss.IndexFlatIP(features.shape[1])
    flat.add(_unit(features))
    of = hashlib.sha256(np.ascontiguousarray(features).data).hexdigest()
    graph = _read(file, of) if file.exists() else None
    if graph is None:
        graph = faiss.IndexHNSWFlat(features.shape[1], NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(features), AT_ONCE):
            bar("images in the graph", start, len(features))
            graph.add(_unit(features[start : start + AT_ONCE]))
        bar("images in the graph", len(features), len(features))
        _write(file, faiss.serialize_index(graph, faiss.IO_FLAG_SKIP_STORAGE), of)
    graph.own_fields, graph.storage = False, flat
    return Approximate(graph, flat)


def _read(file: Path, of: str) -> Any:
    """The graph in a file; None if it is of other embeddings."""
    require_file(file, "give another --index")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about, content = json.loads(str(arrays["about"])), arrays["graph"]
        if about["sha256"] != hashlib.sha256(content.data).hexdigest():
            raise ValueError("its content has changed")
        if (about["version"], about["of"]) != (VERSION, of):
            return None
        return _faiss().deserialize_index(content)
    except Exception as error:  # of numpy, zipfile and faiss
        raise InputError(
            f"{file} is not a graph of `jreid search --approximate`, or it is damaged "
            f"({str(error)[:200]}); remove it, and it will be made again."
        ) from error


def _write(file: Path, content: np.ndarray, of: str) -> None:
    about = {"version": VERSION, "of": of, "sha256": hashlib.sha256(content.data).hexdigest()}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), "graph": content}
    write_whole(file, lambda opened: np.savez(opened, **arrays))


def _unit(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    features = np.ascontiguousarray(features, np.float32)
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norm == 0, 1, norm)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            'approximate search needs faiss; install it by `pip install "jreid[faiss]"`, or search '
            "exactly."
        ) from error
    return faiss
