"""Decodes images by tf.data: on all cores, in order; errors name the image."""

import atexit
import os
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from jreid.data.transforms import decode
from jreid.errors import InputError
from jreid.process import cores

PREFETCHED_BATCHES = 2
# An image is too small to be split over threads: each core processes another image. TensorFlow's
# resize uses its intra-op pool in spite of the dataset's options, and waking that pool costs a
# quarter of the time.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
_running: weakref.WeakSet[Generator[Any]] = weakref.WeakSet()


def in_parallel(
    inputs: Callable[[], Iterator[Any]], signature: Any, make: Callable[..., Any], rows: int
) -> Generator[Any]:
    """Batches of `rows` results of `make`, in order, computed in advance on all cores.

    Args:
        inputs: yields some rows of `make`'s arguments at a time, so that the dataset's bytes are
            not copied.
        signature: the tf.TensorSpecs of what `inputs` yields.
        make: of the arguments of one row, in TensorFlow.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = len(cores())
    options.threading.max_intra_op_parallelism = 1
    options.experimental_optimization.map_and_batch_fusion = True  # one copy less
    dataset = (
        tf.data.Dataset.from_generator(inputs, output_signature=signature)
        .unbatch()
        .map(make, num_parallel_calls=len(cores()), deterministic=True)
        .batch(rows)
        .prefetch(PREFETCHED_BATCHES)
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
def naming_the_image(images: Any, names: Any, rows: Callable[[], Iterable[int]]) -> Iterator[None]:
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
