"""A searcher without a model: it decodes queries, and finds its gallery in a fixed order."""

import io
import threading
from types import SimpleNamespace

import numpy as np
import PIL.Image

from jreid.serve.upload import pixels_of


class StubSearcher:
    """Finds the images named in order.

    Attributes:
        seen: the pixels and modality of each query.
        free: searches wait until it is set; it is set.
    """

    gallery_modality = "visible"

    def __init__(self, *names: str) -> None:
        self.names = names or ("cam1/0001.png", "cam2/a <b> & 'c'.png", "c\udcff.png")
        self.gallery = SimpleNamespace(names=[*self.names])
        self.about = {
            "method": "stub",
            "checkpoint": "last",
            "step": 7,
            "gallery_images": len(self.names),
            "gallery_modality": self.gallery_modality,
        }
        self.seen: list = []
        self.free = threading.Event()
        self.free.set()

    def search(self, content, modality, top):
        pixels = pixels_of(content, ())
        self.free.wait(20)
        self.seen.append((pixels, modality))
        every = enumerate(self.names[:top])
        return [SimpleNamespace(name=n, similarity=0.9 - row / 10, row=row) for row, n in every]

    def thumbnail(self, row):
        color = [(60 * row) % 256, 120, 200]
        return encoded(np.full((192, 96, 3), color, np.uint8), "JPEG") if row != 2 else None


def encoded(pixels, format="PNG") -> bytes:
    """The pixels as an image file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, format)
    return file.getvalue()
