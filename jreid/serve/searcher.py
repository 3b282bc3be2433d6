"""A model and a gallery, ready to search: what the pages of the server show."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from jreid.datasets import MODALITIES
from jreid.retrieval.hits import Embedded, Hit, normalized
from jreid.retrieval.model import TrainedModel
from jreid.retrieval.page import thumbnail
from jreid.serve.app import MAX_TOP
from jreid.serve.upload import pixels_of

KEPT = 1000  # thumbnails in memory


class Searcher:
    """Searches a folder of images with the bytes of a query.

    Attributes:
        gallery: the embedded images.
        about: what `/healthz` says about the model and its gallery.
    """

    def __init__(
        self, model: TrainedModel, folder: Path, gallery_modality: str, index: Path | None = None
    ) -> None:
        """Embeds the gallery, and compiles the embedding of a query of each modality.

        Raises:
            InputError: as `TrainedModel.search` and `TrainedModel.index`; an image has changed
                since it was embedded.
        """
        self._model, self.gallery_modality = model, gallery_modality
        given: Any = folder
        if index is not None:
            given = model.index(folder, index, modality=gallery_modality)
            if given.refuse_changed:  # all images once, and none for each query
                given.refuse_changed(range(len(given.names)))
                given = given._replace(refuse_changed=None)
        blank = np.zeros((*model.config.image.size, 3), np.uint8)
        for modality in MODALITIES:
            hits = model.search(
                blank, given, top=MAX_TOP, modality=modality, gallery_modality=gallery_modality
            )
            given = hits.gallery
        self.gallery: Embedded = normalized(given)
        self.about = {
            "method": model.config.method,
            "checkpoint": model.checkpoint["checkpoint"],
            "step": model.checkpoint["step"],
            "gallery_images": len(self.gallery.names),
            "gallery_modality": gallery_modality,
        }
        # By row: only the images that were found when the server started are ever opened.
        self.thumbnail = functools.lru_cache(KEPT)(self._thumbnail)

    def search(self, content: bytes, modality: str, top: int) -> list[Hit]:
        """The images of the gallery that are most like a query, nearest first.

        Raises:
            ImageError: the bytes are not an image that the model can embed.
        """
        pixels = pixels_of(content, self._model.config.data.depth_range)
        # Each query searches for as many, since JAX compiles a search for each number.
        (hits,) = self._model.search(
            pixels, self.gallery, top=MAX_TOP, modality=modality, progress=False
        )
        return hits[:top]

    def _thumbnail(self, row: int) -> bytes | None:
        """A small JPEG of an image of the gallery; None if it can no longer be read."""
        sources = self.gallery.sources
        return thumbnail(sources[row]) if sources else None
