"""Rows of a Table to batches on the devices, by tf.data: parallel, prefetched, the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.data.transforms import Augmentation, augment, prepare, row_seeds
from jreid.errors import InputError

PREFETCHED_STEPS = 4


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
    """
    import tensorflow as tf

    classes = np.searchsorted(np.unique(table.identity), table.identity).astype(np.int32)
    images = tf.constant(table.image)
    if start >= plan.steps:
        return
    N = plan.rows(start).shape[1]
    mine = _own_rows(N)

    def steps() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(start, plan.steps):
            rows = plan.rows(step)
            # Seeds are drawn for the global batch, so they do not depend on who decodes a row.
            seeds = row_seeds(seed, step, rows.size).reshape(2, N, 2)
            yield rows[:, mine].reshape(-1), seeds[:, mine].reshape(-1, 2)

    def decode(row: Any, row_seed: Any) -> tuple[Any, Any]:
        return row, augment(tf.gather(images, row), row_seed, options)

    signature = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 2], tf.int32))
    local = 2 * (mine.stop - mine.start)
    batches = (
        tf.data.Dataset.from_generator(steps, output_signature=signature)
        .unbatch()
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(local, drop_remainder=True)
        .prefetch(PREFETCHED_STEPS)
    )
    for rows, pixels in batches.as_numpy_iterator():
        visible, infrared = np.split(pixels, 2)
        batch = {
            "visible": visible,
            "infrared": infrared,
            "identity": classes[rows[: local // 2]],
        }
        yield jax.make_array_from_process_local_data(sharding, batch)


def embedding_batches(
    images: Sequence[bytes], names: Sequence[str], size: tuple[int, int], resize: str, rows: int
) -> Iterator[Float[np.ndarray, "n h w 3"]]:
    """Prepared images in order, `rows` at a time, the last batch filled up with zeros.

    Raises:
        InputError: bytes that are no image; their name is told.
    """
    import tensorflow as tf

    def decode(image: Any) -> Any:
        return prepare(image, size, resize)

    batches = (
        tf.data.Dataset.from_tensor_slices(list(images))
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(rows)
        .prefetch(PREFETCHED_STEPS)
    )
    done = 0
    try:
        for batch in batches.as_numpy_iterator():
            done += len(batch)
            yield np.pad(batch, ((0, rows - len(batch)), (0, 0), (0, 0), (0, 0)))
    except tf.errors.InvalidArgumentError as error:
        near = f"{names[done]} to {names[min(done + rows, len(names)) - 1]}"
        raise InputError(f"one of {near} is no image that can be decoded; replace it.") from error


def read_folder(folder: Path) -> tuple[list[str], list[Path]]:
    """Names (relative, without suffix) and paths of a folder's images, in order of name.

    Raises:
        InputError: the folder is missing or holds no JPEG, PNG or BMP file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the images' folder as --images=DIR.")
    suffixes = {".jpg", ".jpeg", ".png", ".bmp"}
    paths = [path for path in folder.rglob("[!.]*") if path.suffix.lower() in suffixes]
    if not paths:
        raise InputError(f"{folder} holds no .jpg, .jpeg, .png or .bmp file.")
    named = sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths)
    return [name for name, _ in named], [path for _, path in named]


def _own_rows(N: int) -> slice:
    """This process's contiguous share of the N rows of a global batch."""
    share = N // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)
