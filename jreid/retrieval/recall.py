"""What an approximate index loses: recall@k, and rank-1 and mAP of a protocol, beside the exact.

The recall alone does not say it: an index may miss many images that are near, and still find the
first one of the right person; or find nearly all, and miss the few of the right person.
"""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.data.table import GalleryIndex, Table
from jreid.errors import InputError
from jreid.evaluation import Protocol, QueryGallery, evaluate, query_gallery
from jreid.evaluation.results.feature_file import name_among
from jreid.evaluation.results.feature_formats import read_arrays
from jreid.paths import require_file
from jreid.progress import explained
from jreid.retrieval.approximate import import_faiss, unit

FIRST = (1, 10)  # the k of recall@k, beside the number of images that a search finds
FACTORY = "a file of faiss, or a description for its index_factory, such as HNSW32 or IVF64,Flat"


class Measured(NamedTuple):
    """A way of searching, and what it finds.

    Attributes:
        search: `exact`, `exact, first 100`, or the index.
        recall: by k, the share of the k nearest images that are among the first k found; means
            over the queries.
        rank1: of the protocol, 0 to 1. An image that is not found is no hit.
        mean_average_precision: the same.
        milliseconds: of a query, all queries searched at once; None where it is not comparable.
        size: of the index in bytes.
    """

    search: str
    recall: dict[int, float]
    rank1: float
    mean_average_precision: float
    milliseconds: float | None = None
    size: int | None = None


def measure(
    features: Float[np.ndarray, "n d"],
    table: Table,
    gallery_index: GalleryIndex,
    protocol: Protocol,
    indexes: Sequence[str],
    *,
    order: Int[np.ndarray, " n"] | None = None,
    parameters: str = "",
    top: int = 100,
) -> list[Measured]:
    """The exact evaluation, the same from the first `top` images only, and that of each index.

    An index finds the `top` nearest of all gallery images; those that the protocol skips for a
    query, or has not drawn for a trial, are then left out.

    Args:
        features: `[N, D]` of the table's rows.
        gallery_index: as in `evaluate`.
        indexes: texts for `faiss.index_factory`; or files that `faiss.write_index` has written, of
            the images that are in any trial's gallery, as unit vectors for the cosine distance; or
            .npz files of what a database found: `queries` `[Q]`, the names of all queries, and
            `found` `[Q, top]`, the names of the images that were found, the nearest first.
        order: `[N]`: by which the gallery images in such a file are sorted; None: the table's.
        parameters: of faiss's search, such as `nprobe=16`.
        top: how many images a search finds.

    Raises:
        InputError: faiss is not installed, an index cannot be read or made or is of other features,
            or the protocol has a gallery of both modalities.
    """
    faiss = import_faiss()
    if protocol.share is not None:
        raise InputError(
            f"{protocol.name} has a gallery of both modalities; take another protocol."
        )
    drawn = query_gallery(table, gallery_index, protocol)
    queries, gallery = np.unique(drawn.query_rows), np.unique(drawn.gallery_rows)
    if order is not None:
        gallery = gallery[np.argsort(order[gallery])]
    cosine = protocol.distance == "cosine"
    vectors = unit(features) if cosine else np.ascontiguousarray(features, np.float32)
    metric = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
    k = min(top, len(gallery))
    exact = faiss.index_factory(vectors.shape[1], "Flat", metric)
    exact.add(vectors[gallery])
    row = evaluate(features, table, gallery_index, protocol)
    nearest = gallery[exact.search(vectors[queries], k)[1]]
    ks = [*(first for first in FIRST if first < k), k]
    measured = [
        Measured("exact", {}, row["cmc"]["1"], row["mAP"]),
        Measured(f"exact, first {k}", {}, *_scores(nearest, queries, drawn, table)),
    ]
    for text in indexes:
        if Path(text).suffix == ".npz":
            found = _found(Path(text), table.name, queries, gallery, k)
            milliseconds = size = None
        else:
            index = _index(faiss, text, vectors[gallery], metric)
            if parameters:
                _set(faiss, index, parameters)
            start = time.perf_counter()
            found = index.search(vectors[queries], k)[1]
            seconds = time.perf_counter() - start
            if found.max(initial=-1) >= len(gallery):
                raise InputError(
                    f"{text} has ids of its own, such as {found.max()} of {len(gallery):,} images; "
                    "make it without ids, with the gallery's images in the order of the features."
                )
            found = np.where(found < 0, -1, gallery[found])
            milliseconds, size = 1e3 * seconds / len(queries), len(faiss.serialize_index(index))
        recall = {first: _recall(nearest[:, :first], found[:, :first]) for first in ks}
        scores = _scores(found, queries, drawn, table)
        measured.append(Measured(text, recall, *scores, milliseconds, size))
    return measured


def _found(
    file: Path,
    names: np.ndarray,
    queries: Int[np.ndarray, " q"],
    gallery: Int[np.ndarray, " g"],
    k: int,
) -> Int[np.ndarray, "q k"]:
    """The rows of the images that a file says were found for each query; -1 for an empty name."""
    arrays = read_arrays(file, ("queries", "found"))
    searched, found = arrays["queries"], arrays["found"]
    if {searched.dtype.kind, found.dtype.kind} != {"U"} or found.ndim != 2:
        raise InputError(f"{file}: queries [Q] and found [Q, top] must be texts: names of images.")
    if found.shape[:1] != searched.shape or found.shape[1] < k:
        raise InputError(
            f"{file}: found is {list(found.shape)}, for {len(searched)} queries; it must have a "
            f"row for each query and {k} images in it (or give a smaller --top)."
        )
    rows = dict(zip(names[gallery].tolist(), gallery.tolist(), strict=True)) | {"": -1}
    known = {*names.tolist()}
    row_of = {name_among(known, name): i for i, name in enumerate(searched.tolist())}
    missing = [name for name in names[queries].tolist() if name not in row_of]
    if missing:
        raise InputError(f"{file}: queries lacks {missing[0]}, and {len(missing)} names in all.")
    found = found[[row_of[name] for name in names[queries].tolist()], :k]
    normal = [[name and name_among(known, name) for name in line] for line in found.tolist()]
    strange = next((name for line in normal for name in line if name not in rows), None)
    if strange is not None:
        raise InputError(
            f"{file}: found has {strange}, which is not in the protocol's gallery; search a table "
            "of the gallery's images only."
        )
    for query, line in zip(names[queries].tolist(), normal, strict=True):
        named = Counter(name for name in line if name)
        if named and max(named.values()) > 1:
            raise InputError(
                f"{file}: found has {named.most_common(1)[0][0]} more than once for {query}, which "
                "would count twice; if the database holds images twice, make its table again."
            )
    return np.array([[rows[name] for name in line] for line in normal])


def _index(faiss: Any, text: str, gallery: Float[np.ndarray, "g d"], metric: int) -> Any:
    """The index that a text names, of these vectors."""
    G, D = gallery.shape
    if not Path(text).exists():
        try:
            index = faiss.index_factory(D, text, metric)
            with explained(f"making the index {text} of {G:,} images"):
                if not index.is_trained:
                    index.train(gallery)
                index.add(gallery)
        except RuntimeError as error:
            raise InputError(
                f"--index={text} does not exist as a file, and faiss cannot make it "
                f"({_cause(error)}); give {FACTORY}."
            ) from error
        return index
    require_file(Path(text), f"give {FACTORY}")
    try:
        index = faiss.read_index(text)
    except RuntimeError as error:
        message = f"{text} is not an index of faiss ({_cause(error)}); give {FACTORY}"
        raise InputError(f"{message}.") from error
    if (index.ntotal, index.d) != (G, D):
        raise InputError(
            f"{text} has {index.ntotal:,} vectors of {index.d} dimensions, and the protocol's "
            f"gallery has {G:,} images of {D}; give the index of these images, in the order of the "
            "features."
        )
    if index.metric_type not in {metric, faiss.METRIC_L2}:  # of unit vectors L2 ranks as cosines
        raise InputError(
            f"{text} compares inner products, and the protocol Euclidean distances; make it with "
            "METRIC_L2, or take a protocol with the cosine distance."
        )
    return index


def _set(faiss: Any, index: Any, parameters: str) -> None:
    try:
        faiss.ParameterSpace().set_index_parameters(index, parameters)
    except RuntimeError as error:
        raise InputError(
            f"--search={parameters} cannot be set ({_cause(error)}); give faiss's parameters of "
            "this index, such as nprobe=16 or efSearch=64."
        ) from error


def _recall(nearest: Int[np.ndarray, "q k"], found: Int[np.ndarray, "q k"]) -> float:
    both = zip(nearest.tolist(), found.tolist(), strict=True)
    return sum(len({*a} & {*b}) for a, b in both) / nearest.size


def _scores(
    found: Int[np.ndarray, "q k"],
    queries: Int[np.ndarray, " q"],
    drawn: QueryGallery,
    table: Table,
) -> tuple[float, float]:
    """Rank-1 and mAP of the images found, -1 for none: means over queries, then over trials."""
    trials = []
    for query_rows, gallery_rows in zip(drawn.query_rows, drawn.gallery_rows, strict=True):
        ranked = found[np.searchsorted(queries, query_rows)]
        takes_part = np.zeros(len(table.name), bool)
        takes_part[gallery_rows] = True
        group = drawn.query_group[query_rows]
        counts = (ranked >= 0) & takes_part[ranked]
        counts &= drawn.gallery_group[ranked] != group[:, None]
        hit = counts & (table.identity[ranked] == table.identity[query_rows][:, None])
        precision = np.cumsum(hit, axis=1) / np.maximum(np.cumsum(counts, axis=1), 1)
        matches = _matches(query_rows, gallery_rows, drawn, table)
        valid = matches > 0
        first = np.argmax(counts, axis=1)
        rank1 = hit[np.arange(len(hit)), first][valid].mean()
        average = (precision * hit).sum(axis=1)[valid] / matches[valid]
        trials.append((rank1, average.mean()))
    rank1, mean_average_precision = np.mean(trials, axis=0).tolist()
    return rank1, mean_average_precision


def _matches(
    query_rows: Int[np.ndarray, " q"],
    gallery_rows: Int[np.ndarray, " g"],
    drawn: QueryGallery,
    table: Table,
) -> Int[np.ndarray, " q"]:
    """How many images of its identity each query has in the gallery, without skipped ones."""
    people, groups = table.identity[gallery_rows].tolist(), drawn.gallery_group[gallery_rows]
    of_person, of_pair = Counter(people), Counter(zip(people, groups.tolist(), strict=True))
    pairs = zip(
        table.identity[query_rows].tolist(), drawn.query_group[query_rows].tolist(), strict=True
    )
    return np.array([of_person[person] - of_pair[person, group] for person, group in pairs])


def _cause(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200]
