"""The results of a search: for each query the nearest images of the gallery."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError
from jreid.evaluation import nearest
from jreid.evaluation.ranking.gallery import normalize_for
from jreid.evaluation.ranking.inputs import check_features, one_device, require_finite
from jreid.evaluation.ranking.nearest import nearest_among
from jreid.files import write_text
from jreid.retrieval.approximate import Approximate
from jreid.retrieval.sources import Source
from jreid.terminal import one_line

BLOCK = 512  # queries compared at once, as by `nearest`
PART = 32768  # images of the gallery that are compared at once: only these are copied


class Embedded(NamedTuple):
    """N images and their embeddings: the queries or the gallery of a search.

    Attributes:
        names: of the images; `0`, `1`, ... if only features were given.
        features: `[N, D]` floating point, not normalized unless `unit`.
        sources: the images themselves, for thumbnails, if they were given.
        model: the hash of the config and of the checkpoint that made them; empty if not known.
        approximate: finds nearest images in a few lists; None: the search is exact.
        refuse_changed: raises InputError if the images in some rows are no longer those that were
            embedded; None if they cannot have changed, or if it cannot be known.
        unit: whether `normalized` has made the features.
    """

    names: list[str]
    features: Float[np.ndarray, "n d"]
    sources: Sequence[Source] | None = None
    model: str = ""
    approximate: Approximate | None = None
    refuse_changed: Callable[[Sequence[int]], None] | None = None
    unit: bool = False


class Hit(NamedTuple):
    """An image of the gallery that was found.

    Attributes:
        name: as in `Hits.names`.
        similarity: the cosine of its embedding and the query's, -1 to 1.
        row: its row in the gallery.
    """

    name: str
    similarity: float
    row: int


class Hits:
    """For each of Q queries the k nearest of G images, nearest first.

    `len(hits)` is Q, and `hits[0]` the list of the first query's `Hit`s. In a notebook they are
    shown as thumbnails.

    Attributes:
        query: the queries.
        gallery: the images that were searched.
        rows: `[Q, k]` int32 rows of the gallery.
        similarities: `[Q, k]` float32 cosines, -1 to 1.
        recall: of an approximate search the share of the nearest images that it found, measured
            with at most 8 of the queries; None for an exact search.
    """

    def __init__(self, query: Embedded, gallery: Embedded, top: int) -> None:
        """Searches for the `top` nearest images, or for all if the gallery is smaller.

        Raises:
            InputError: features hold NaN or infinity, or those of the query and of the gallery have
                different widths.
            ValueError: the shapes or types of the features do not fit.
        """
        shapes = query.features.shape, gallery.features.shape
        if [*map(len, shapes)] == [2, 2] and shapes[0][1] != shapes[1][1]:
            raise InputError(
                f"the query's features have {shapes[0][1]} dimensions, and the gallery's have "
                f"{shapes[1][1]}; embed both with one model, or give another index."
            )
        self.query, self.gallery = query, gallery
        k = min(top, len(gallery.features))
        self.rows: Int[np.ndarray, "q k"]
        self.similarities: Float[np.ndarray, "q k"]
        self.recall: float | None = None
        if gallery.approximate is None:
            self.rows, self.similarities = _exactly(query, gallery, k)
        else:
            require_finite(query.features, "query", query.names)
            self.rows, self.similarities = gallery.approximate.search(query.features, k)
            self.recall = gallery.approximate.recall(query.features, self.rows)

    @property
    def names(self) -> list[list[str]]:
        """For each query the names of the images that were found."""
        return [[hit.name for hit in hits] for hits in self]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, query: int) -> list[Hit]:
        found = zip(self.rows[query].tolist(), self.similarities[query].tolist(), strict=True)
        return [Hit(self.gallery.names[row], similarity, row) for row, similarity in found]

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[query] for query in range(len(self)))

    def __str__(self) -> str:
        lines = []
        for name, hits in zip(self.query.names, self, strict=True):
            lines.append(f"{one_line(name)}: {len(hits)} nearest of {len(self.gallery.names):,}")
            lines += [
                f"{rank:4d}  {hit.similarity:7.4f}  {one_line(hit.name)}"
                for rank, hit in enumerate(hits, 1)
            ]
        if self.recall is not None:
            lines.append(f"approximate: {self.recall:.1%} of what the exact search finds")
        return "\n".join(lines)

    def __repr__(self) -> str:
        Q, k = self.rows.shape
        return f"Hits({Q} queries, {k} nearest of {len(self.gallery.names):,} images each)"

    def _repr_html_(self) -> str:
        from jreid.retrieval.page import IN_NOTEBOOK, fragment

        return fragment(self, IN_NOTEBOOK)

    def save_html(self, file: str | Path) -> None:
        """Writes a page of thumbnails as one file; InputError if it cannot be written."""
        from jreid.retrieval.page import page

        write_text(Path(file), page(self))


def normalized(gallery: Embedded) -> Embedded:
    """A gallery with unit embeddings float32, for many searches: each would make them again.

    Raises:
        InputError: features hold NaN or infinity.
        ValueError: they are not `[N, D]` of floating point.
    """
    features = np.asarray(check_features(gallery.features, "gallery"))
    unit = np.empty_like(features)
    for start in range(0, len(features), PART):
        part = slice(start, start + PART)
        require_finite(features[part], "gallery", gallery.names[part])
        unit[part] = normalize_for(features[part], "cosine")
    return gallery._replace(features=unit, unit=True)


def _exactly(
    query: Embedded, gallery: Embedded, k: int
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The k nearest rows and their cosines; at equal ones the lower row comes first."""
    features, search = query.features, nearest
    if gallery.unit:
        features = check_features(features, "query")
        require_finite(np.asarray(features), "query", query.names)
        mesh = one_device(gallery.features)
        search = partial(nearest_among, distance="cosine", block=BLOCK, mesh=mesh)
    rows = np.empty((len(features), 0), np.int32)
    distances = np.empty((len(features), 0), np.float32)
    for start in range(0, len(gallery.features), PART):
        part = gallery.features[start : start + PART]
        found, least = search(features, part, min(k, len(part)))
        rows = np.concatenate([rows, found + np.int32(start)], axis=1)
        distances = np.concatenate([distances, least], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        rows, distances = (np.take_along_axis(one, order, axis=1) for one in (rows, distances))
    return rows, 1 - distances
