"""Training batches: rows of a Table on the devices, parallel and deterministic.

Images are decoded by tf.data; those that are already resized are only copied, by numpy.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int, UInt8

from jreid.data.augmentation import Augmentation, AugmentationParams, sample_augmentation
from jreid.data.decoding import in_parallel, naming_the_image
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.data.transforms import augment, flip_and_crop, normalize_and_erase
from jreid.datasets import MODALITIES
from jreid.process import cores
from jreid.progress import said_after

PATIENCE = 60.0  # seconds that a batch may take before a warning
log = logging.getLogger(__name__)


def training_batches(
    table: Table,
    plan: Plan,
    options: Augmentation,
    seed: int,
    start: int,
    sharding: jax.sharding.NamedSharding,
    resized: UInt8[np.ndarray, "rows h w 3"] | None = None,
) -> Iterator[Mapping[str, jax.Array]]:
    """The Batches of steps `start` to the plan's end, each a pure function of (seed, step).

    A Batch is `visible` and `infrared`, float32 `[N, H, W, 3]`, and `identity`, int32 `[N]`, its
    class number: the position among the table's sorted identities. All three are split over the
    mesh on their first axis; a process decodes its own rows only.

    Args:
        table: the training rows, those that `plan` was made from.
        resized: the table's images as `resized_images` returns them, in place of the encoded ones;
            the Batches are the same, bit for bit.

    Raises:
        InputError: bytes that are not an image; it names the image.
    """
    classes = np.searchsorted(np.unique(table.identity), table.identity).astype(np.int32)
    if start >= plan.steps:
        return
    N = plan.rows(start).shape[1]
    mine = own_rows(N)
    share = mine.stop - mine.start
    own = np.arange(2 * N).reshape(2, N)[:, mine].reshape(-1)
    visible = np.arange(2 * share) < share

    def rows_of(step: int) -> Int[np.ndarray, " rows"]:
        return plan.rows(step)[:, mine].reshape(-1)

    def sampled(images: np.ndarray) -> Iterator[_Elements]:
        for step in range(start, plan.steps):
            rows = rows_of(step)
            # For the global batch, so that they do not depend on the process that decodes a row.
            params = sample_augmentation(seed, step, 2 * N, options).take(own)
            yield _Elements(images[rows], visible, params, classes[rows])

    finished = jax.jit(partial(normalize_and_erase, options=options))
    if resized is None:
        batches = _decoded(lambda: sampled(table.image), 2 * share, options)
    else:
        batches = _copied(sampled(np.arange(len(table.name))), resized, options)

    def on_devices(values: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, values)

    for step in range(start, plan.steps):
        naming = naming_the_image(table.image, table.name, partial(rows_of, step))
        with naming, _warning_of_a_wait():
            batch = next(batches)
        halves = [
            finished(on_devices(batch.image[half]), on_devices(batch.params.box[half]))
            for half in (slice(share), slice(share, None))
        ]
        identity = on_devices(batch.identity[:share])
        yield {**dict(zip(MODALITIES, halves, strict=True)), "identity": identity}


class _Elements(NamedTuple):
    """Training images, or one, with their labels and random parameters.

    Attributes:
        image: encoded bytes or numbers of rows, and then uint8 `[n, H, W, 3]`.
        visible: `[n]` bool.
        params: their random parameters.
        identity: `[n]` int32, their class number.
    """

    image: Any
    visible: Any
    params: AugmentationParams
    identity: Any


def _decoded(
    inputs: Callable[[], Iterator[_Elements]], rows: int, options: Augmentation
) -> Iterator[_Elements]:
    """The inputs of each step, their encoded images decoded and augmented in advance."""
    import tensorflow as tf

    def augmented(one: _Elements) -> _Elements:
        flip, corner, _ = one.params
        return one._replace(image=augment(one.image, flip, corner, options, one.visible))

    def spec(dtype: Any, *shape: int) -> Any:
        return tf.TensorSpec([rows, *shape], dtype)

    params = AugmentationParams(spec(tf.bool), spec(tf.int32, 2), spec(tf.int32, 4))
    signature = _Elements(spec(tf.string), spec(tf.bool), params, spec(tf.int32))
    return in_parallel(inputs, signature, augmented, rows)


def _copied(
    inputs: Iterator[_Elements], resized: UInt8[np.ndarray, "rows h w 3"], options: Augmentation
) -> Iterator[_Elements]:
    """The inputs of each step, with augmented copies of the resized images of their rows."""
    with ThreadPoolExecutor(len(cores())) as pool:
        for batch in inputs:
            images = np.empty((len(batch.image), *resized.shape[1:]), np.uint8)
            copy = partial(_copy, images, batch, resized, options)
            list(pool.map(copy, np.array_split(np.arange(len(images)), len(cores()))))
            yield batch._replace(image=images)


def _copy(
    images: UInt8[np.ndarray, "n h w 3"],
    batch: _Elements,
    resized: UInt8[np.ndarray, "rows h w 3"],
    options: Augmentation,
    part: Int[np.ndarray, " part"],
) -> None:
    """Fills some of a batch's images."""
    flip, corner, _ = batch.params
    for i in part:
        flip_and_crop(resized[batch.image[i]], bool(flip[i]), corner[i], options, images[i])


@contextmanager
def _warning_of_a_wait() -> Iterator[None]:
    """Warns if the block takes long, since jreid cannot distinguish a hang from slow reading.

    TensorFlow itself reports a reader that dies.
    """
    message = (
        f"no batch of images for {PATIENCE:.0f} seconds: decoding has stopped, or the machine is "
        "busy with other work; Ctrl-C stops the run, and the same command resumes it."
    )
    with said_after(PATIENCE, log.warning, message):
        yield


def own_rows(N: int) -> slice:
    """This process's contiguous share of the N rows of a global batch."""
    share = N // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)
