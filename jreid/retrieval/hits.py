"""The results of a search: for each query the nearest images of the gallery."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.evaluation import nearest
from jreid.files import write_text
from jreid.retrieval.sources import Source
from jreid.terminal import one_line


class Embedded(NamedTuple):
    """N images and their embeddings: the queries or the gallery of a search.

    Attributes:
        names: of the images; `0`, `1`, ... if only features were given.
        features: `[N, D]` floating point, not normalized.
        sources: the images themselves, for thumbnails, if they were given.
        model: the hash of the config and of the checkpoint that made them; empty if not known.
    """

    names: list[str]
    features: Float[np.ndarray, "n d"]
    sources: Sequence[Source] | None = None
    model: str = ""


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
    """

    def __init__(self, query: Embedded, gallery: Embedded, top: int) -> None:
        """Searches exactly for the `top` nearest images, or for all if the gallery is smaller.

        Raises:
            InputError: features hold NaN or infinity.
            ValueError: the shapes or types of the features do not fit.
        """
        self.query, self.gallery = query, gallery
        k = min(top, len(gallery.features))
        self.rows: Int[np.ndarray, "q k"]
        self.rows, distances = nearest(query.features, gallery.features, k)
        self.similarities: Float[np.ndarray, "q k"] = 1 - distances

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
