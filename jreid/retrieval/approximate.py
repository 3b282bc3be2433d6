"""Approximate search of a large gallery by faiss: lists of similar images, kept in a file.

k-means puts each image into the list of the nearest center, and a search compares a query with the
images of the few lists whose centers are nearest (faiss's IVF). The file holds the centers and the
list of each image as plain arrays; the embeddings stay in the index.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError
from jreid.files import write_whole
from jreid.optional_parts import require_part
from jreid.paths import require_file
from jreid.progress import ProgressBar, explained, silent

VERSION = 1  # of the file
IMAGES_IN_A_LIST = 39  # at least, on average: with fewer, faiss warns of bad centers
TRAINED_WITH = 40  # images for each list that k-means sees
PROBED = 16  # lists that a query is compared with, at least
AT_ONCE = 8192  # images that are normalized at once
SAMPLE = 8  # queries that the recall is measured with


class Approximate(NamedTuple):
    """A gallery's images in lists.

    Attributes:
        index: faiss's IVF index of the unit embeddings.
        probed: how many lists a query is compared with.
    """

    index: Any
    probed: int

    def search(
        self, query: Float[np.ndarray, "q d"], k: int
    ) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
        """For each query about the k nearest rows, nearest first, and their cosines."""
        similarities, rows = self._search(query, k, self.probed)
        few = (rows < 0).any(axis=1)  # these lists have fewer than k images
        if few.any():
            similarities[few], rows[few] = self._search(query[few], k, self.index.nlist)
        return rows.astype(np.int32), similarities

    def recall(self, query: Float[np.ndarray, "q d"], rows: Int[np.ndarray, "q k"]) -> float:
        """The share of the truly nearest images that were found, over at most 8 queries."""
        some = np.unique(np.linspace(0, len(query) - 1, SAMPLE).astype(int))
        _, exact = self._search(query[some], rows.shape[1], self.index.nlist)
        found = [len({*a} & {*b}) for a, b in zip(rows[some].tolist(), exact.tolist(), strict=True)]
        return sum(found) / exact.size

    def _search(self, query: np.ndarray, k: int, probed: int) -> tuple[np.ndarray, np.ndarray]:
        self.index.nprobe = probed
        return self.index.search(unit(query), k)


def read_or_build(
    file: Path, features: Float[np.ndarray, "n d"], bar: ProgressBar = silent
) -> Approximate:
    """The lists in a file, if they are of these embeddings; else new ones, written there.

    Raises:
        InputError: faiss is not installed, or the file is damaged or cannot be written.
    """
    faiss = import_faiss()
    of = hashlib.sha256(np.ascontiguousarray(features).data).hexdigest()
    kept = _read(file, of, features) if file.exists() else None
    centers, lists = kept or _cluster(faiss, features, bar)
    if kept is None:
        about = np.array(json.dumps({"version": VERSION, "of": of}))
        arrays: dict[str, Any] = {"about": about, "centers": centers, "lists": lists}
        write_whole(file, lambda opened: np.savez(opened, **arrays))
    L, D = centers.shape
    coarse = faiss.IndexFlatIP(D)
    coarse.add(centers)
    index = faiss.IndexIVFFlat(coarse, D, L, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    for start in range(0, len(features), AT_ONCE):
        units, chosen = unit(features[start : start + AT_ONCE]), lists[start : start + AT_ONCE]
        rows = np.arange(start, start + len(units))
        index.add_core(len(units), *map(faiss.swig_ptr, (units, rows, chosen)))
    return Approximate(index, min(L, max(PROBED, L // 64)))


def _cluster(
    faiss: Any, features: Float[np.ndarray, "n d"], bar: ProgressBar
) -> tuple[Float[np.ndarray, "l d"], Int[np.ndarray, " n"]]:
    """The centers, and the list of each image."""
    N, D = features.shape
    L = max(1, min(int(4 * math.sqrt(N)), N // IMAGES_IN_A_LIST))
    points = {"min_points_per_centroid": 1, "max_points_per_centroid": TRAINED_WITH}
    means = faiss.Kmeans(D, L, spherical=True, seed=0, **points)
    some = features[np.linspace(0, N - 1, min(N, TRAINED_WITH * L)).astype(int)]
    with explained(f"clustering {len(some):,} images into {L:,} lists for the approximate search"):
        means.train(unit(some))
    lists = np.empty(N, np.int64)
    for start in range(0, N, AT_ONCE):
        bar("images put into lists", start, N)
        _, found = means.index.search(unit(features[start : start + AT_ONCE]), 1)
        lists[start : start + AT_ONCE] = found[:, 0]
    bar("images put into lists", N, N)
    return means.centroids, lists


def _read(
    file: Path, of: str, features: Float[np.ndarray, "n d"]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The centers and lists in a file; None if they are of other embeddings."""
    require_file(file, "give another --index")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            centers, lists = arrays["centers"], arrays["lists"]
        if (about["version"], about["of"]) != (VERSION, of):
            return None
        right = centers.dtype == np.float32 and centers.shape[1:] == features.shape[1:]
        right = right and lists.dtype == np.int64 and lists.shape == (len(features),)
        right = right and 0 <= lists.min() <= lists.max() < len(centers)
        if not right or not np.isfinite(centers).all():
            raise ValueError("its arrays do not fit")
        return np.ascontiguousarray(centers), lists
    except Exception as error:  # of numpy and zipfile
        raise InputError(
            f"{file} is not of `jreid search --approximate`, or it is damaged "
            f"({str(error)[:200]}); remove it, and it will be made again."
        ) from error


def unit(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The features divided by their lengths, float32; zeros stay zeros."""
    features = np.ascontiguousarray(features, np.float32)
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norm == 0, 1, norm)


def import_faiss() -> Any:
    """The module faiss; InputError if it is not installed."""
    require_part("faiss", "approximate search", "search exactly")
    import faiss

    return faiss
