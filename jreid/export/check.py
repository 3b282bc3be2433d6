"""Compares an export with its model: differences, speed, and rank-1 on the test split."""

import io
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jreid.data.pixels import decode, resize
from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.engine.model import Model
from jreid.methods import Config, Variables
from jreid.progress import COMPILING, ProgressBar, explained, silent
from jreid.runs.score import embed_table

Reader = Callable[[UInt8[np.ndarray, "n h w 3"], int], Float[np.ndarray, "n d"]]
MAX_SIZES = 4  # image sizes that an export gets unchanged: XLA compiles again for each
MADE_UP = 32  # images of each modality, if there is no dataset
# The largest difference of a component that is accepted. Resizing rounds to whole levels, and a
# level between two may be rounded to the other one: docs/export.md has figures.
TOLERANCE, TOLERANCE_BFLOAT16 = 1e-3, 2e-2


class Comparison(NamedTuple):
    """The embeddings of the same images by the model and by its export.

    Attributes:
        own: the model's, unit vectors `[N, D]`.
        exported: the export's.
        own_rate: images per second, including decoding, without compiling.
        exported_rate: the same for the export.
        tolerance: the largest difference that is accepted.
    """

    own: Float[np.ndarray, "n d"]
    exported: Float[np.ndarray, "n d"]
    own_rate: float
    exported_rate: float
    tolerance: float

    @property
    def difference(self) -> float:
        """The largest difference of any component of the unit vectors; NaN if one is not finite."""
        return float(np.abs(self.own - self.exported).max())

    @property
    def agrees(self) -> bool:
        """Whether the export embeds as the model does."""
        return self.difference <= self.tolerance


def compare(
    reader: Reader, model: Model, variables: Variables, table: Table, bar: ProgressBar = silent
) -> Comparison:
    """Embeds a table's images by the model and by its export.

    An image whose size is not one of the `MAX_SIZES` most frequent is resized before the export
    gets it.
    """
    first = [int(np.flatnonzero(table.modality == m)[0]) for m in {*table.modality.tolist()}]
    embed_table(model, variables, table.take(np.array(first)))  # compiles
    start = time.perf_counter()
    own = embed_table(model, variables, table, bar)
    own_rate = len(own) / (time.perf_counter() - start)
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    exported, seconds = _embed_by(reader, model, table, bar)
    tolerance = TOLERANCE if model.config.dtype == "float32" else TOLERANCE_BFLOAT16
    return Comparison(own, exported, own_rate, len(own) / seconds, tolerance)


def _embed_by(
    reader: Reader, model: Model, table: Table, bar: ProgressBar
) -> tuple[Float[np.ndarray, "n d"], float]:
    """The export's embeddings of a table's images, and the seconds that they took."""
    batch, start = model.config.evaluation.batch_size, time.perf_counter()
    pixels = _pixels_of(model.config, table)
    seconds = time.perf_counter() - start
    rows: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for row, (modality, one) in enumerate(zip(table.modality.tolist(), pixels, strict=True)):
        rows.setdefault((MODALITIES.index(modality), one.shape), []).append(row)
    found: dict[int, np.ndarray] = {}
    for (modality, shape), group in rows.items():
        with explained(COMPILING.format(f"the export for images of {shape[0]} x {shape[1]}")):
            reader(np.zeros((batch, *shape), np.uint8), modality)
        start = time.perf_counter()
        for places in (group[place : place + batch] for place in range(0, len(group), batch)):
            filled = np.zeros((batch, *shape), np.uint8)
            filled[: len(places)] = [pixels[row] for row in places]
            found.update(zip(places, reader(filled, modality), strict=False))
            bar("images embedded by the export", len(found), len(pixels))
        seconds += time.perf_counter() - start
    return np.stack([found[row] for row in range(len(pixels))]), seconds


def _pixels_of(config: Config, table: Table) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A table's images; those of less frequent sizes are resized."""
    image = config.image
    pixels = [decode(content) for content in table.image]
    sizes = Counter(one.shape[:2] for one in pixels)
    kept = {size for size, _ in sizes.most_common(MAX_SIZES)}
    for row, (content, modality) in enumerate(zip(table.image, table.modality, strict=True)):
        if pixels[row].shape[:2] not in kept:
            # Gray first, resized second, as in the model; the export does not change gray images.
            gray = decode(content, image[f"gray_{modality}"])
            pixels[row] = resize(gray, tuple(image.size), image.resize)
    return pixels


def made_up_table(model: Model) -> Table:
    """A table of noise images of both modalities, twice the size of the model's images."""
    import PIL.Image

    rng, (h, w) = np.random.default_rng(0), model.config.image.size
    modality = np.repeat(MODALITIES, MADE_UP)
    images = np.empty(len(modality), object)
    for row in range(len(images)):
        file = io.BytesIO()
        noise = rng.integers(0, 256, (2 * h, 2 * w, 3), np.uint8)
        PIL.Image.fromarray(noise).save(file, "PNG", compress_level=0)
        images[row] = file.getvalue()
    numbers = np.arange(len(images))
    names = np.array([f"noise {number}" for number in numbers])
    return Table(
        names, numbers, np.ones_like(numbers), modality, np.full(len(images), "test"), images
    )
