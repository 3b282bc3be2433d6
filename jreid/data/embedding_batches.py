"""Batches of images to embed, decoded in advance on all cores, without TensorFlow."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from jreid.data.pixels import ImageError, preprocess
from jreid.errors import InputError
from jreid.process import cores

PREFETCHED_BATCHES = 2


@runtime_checkable
class ToEmbed(Protocol):
    """Images to embed, each as encoded bytes or as pixels `[h, w, 3]`.

    One may be read only when it is asked for, which may raise an ImageError.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes | UInt8[np.ndarray, "h w 3"]: ...


def embedding_batches(
    images: ToEmbed,
    names: Sequence[str],
    size: tuple[int, int],
    resize: str,
    rows: int,
    gray: bool = False,
    own: slice | None = None,
) -> Iterator[Float[np.ndarray, "n h w 3"]]:
    """Preprocessed images in order, `rows` at a time; the last batch is padded with zeros.

    Args:
        gray: whether the images are made gray first.
        own: the rows of each batch to return; None for all.

    Raises:
        InputError: bytes that are not an image; the error names it.
    """
    own, every = own or slice(0, rows), range(len(images))
    parts = [every[start : start + rows][own] for start in range(0, len(images), rows)]

    def prepare(row: int) -> Float[np.ndarray, "h w 3"]:
        try:
            return preprocess(images[row], size, resize, gray)
        except ImageError as error:
            raise InputError(
                f"{names[row]} cannot be decoded: it {error}; replace the file."
            ) from None

    def finished(jobs: Sequence[Future[np.ndarray]]) -> Float[np.ndarray, "n h w 3"]:
        batch = np.zeros((own.stop - own.start, *size, 3), np.float32)
        for place, job in enumerate(jobs):
            batch[place] = job.result()
        return batch

    pool, ahead = ThreadPoolExecutor(len(cores())), deque()
    try:
        for part in parts:
            ahead.append([pool.submit(prepare, row) for row in part])
            if len(ahead) > PREFETCHED_BATCHES:
                yield finished(ahead.popleft())
        while ahead:
            yield finished(ahead.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
