"""Training batches: rows of a Table on the devices, by tf.data: parallel and deterministic."""

import atexit
import logging
import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from jreid.data.augmentation import Augmentation, AugmentationParams, sample_augmentation
from jreid.data.samplers import Plan
from jreid.data.table import MODALITIES, Table
from jreid.data.transforms import augment, decode, normalize_and_erase
from jreid.errors import InputError
from jreid.progress import said_after

PREFETCHED_STEPS = 2
PATIENCE = 60.0  # seconds that a batch may take before a warning
# An image is too small to be split over threads: each core processes another image. TensorFlow's
# resize uses its intra-op pool in spite of the dataset's options, and waking that pool costs a
# quarter of the time.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
log = logging.getLogger(__name__)
_running: weakref.WeakSet[Generator[Any]] = weakref.WeakSet()


def training_batches(
    table: Table,
    plan: Plan,
    options: Augmentation,
    seed: int,
    start: int,
    sharding: jax.sharding.NamedSharding,
) -> Iterator[Mapping[str, jax.Array]]:
    """The Batches of steps `start` to the plan's end, each a pure function of (seed, step).

    A Batch is `visible` and `infrared`, float32 `[N, H, W, 3]`, and `identity`, int32 `[N]`, its
    class number: the position among the table's sorted identities. All three are split over the
    mesh on their first axis; a process decodes its own rows only.

    Args:
        table: the training rows, those that `plan` was made from.

    Raises:
        InputError: bytes that are not an image; it names the image.
    """
    import tensorflow as tf

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

    def inputs() -> Iterator[_Elements]:
        for step in range(start, plan.steps):
            rows = rows_of(step)
            # For the global batch, so that they do not depend on the process that decodes a row.
            params = sample_augmentation(seed, step, 2 * N, options).take(own)
            yield _Elements(table.image[rows], visible, params, classes[rows])

    def augmented(one: _Elements) -> _Elements:
        flip, corner, _ = one.params
        return one._replace(image=augment(one.image, flip, corner, options, one.visible))

    def spec(dtype: Any, *shape: int) -> Any:
        return tf.TensorSpec([2 * share, *shape], dtype)

    params = AugmentationParams(spec(tf.bool), spec(tf.int32, 2), spec(tf.int32, 4))
    signature = _Elements(spec(tf.string), spec(tf.bool), params, spec(tf.int32))
    finished = jax.jit(partial(normalize_and_erase, options=options))
    batches = _decoded(inputs, signature, augmented, 2 * share)

    def on_devices(values: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, values)

    for step in range(start, plan.steps):
        with _naming(table.image, table.name, partial(rows_of, step)), _warning_of_a_wait():
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
        image: encoded bytes, and then uint8 `[n, H, W, 3]`.
        visible: `[n]` bool.
        params: their random parameters.
        identity: `[n]` int32, their class number.
    """

    image: Any
    visible: Any
    params: AugmentationParams
    identity: Any


def _decoded(
    inputs: Callable[[], Iterator[Any]], signature: Any, make: Callable[..., Any], rows: int
) -> Iterator[Any]:
    """Batches of `rows` results of `make`, in order, computed in advance on all cores.

    Args:
        inputs: yields some rows of `make`'s arguments at a time, so that the dataset's bytes are
            not copied.
    """
    import tensorflow as tf

    cores = os.cpu_count() or 1
    options = tf.data.Options()
    options.threading.private_threadpool_size = cores
    options.threading.max_intra_op_parallelism = 1
    options.experimental_optimization.map_and_batch_fusion = True  # one copy less
    dataset = (
        tf.data.Dataset.from_generator(inputs, output_signature=signature)
        .unbatch()
        .map(make, num_parallel_calls=cores, deterministic=True)
        .batch(rows)
        .prefetch(PREFETCHED_STEPS)
        .with_options(options)
    )

    def batches() -> Generator[Any]:
        yield from dataset.as_numpy_iterator()

    running = batches()
    _running.add(running)
    return running


@atexit.register
def _stop() -> None:
    """Stops the work in progress: TensorFlow's threads would hang when Python shuts down."""
    for batches in list(_running):
        batches.close()


@contextmanager
def _naming(images: Any, names: Any, rows: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Turns the decoder's error into an error that names the image.

    Args:
        rows: returns the images in decoding; called only after an error.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.InvalidArgumentError:
        for row in rows():
            try:
                decode(images[row])
            except tf.errors.InvalidArgumentError:
                raise InputError(
                    f"{names[row]} cannot be decoded: it is damaged, incomplete or not an image; "
                    "replace the file."
                ) from None
        raise


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
