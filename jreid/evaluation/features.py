"""Embeddings of many images: batches through the network, back to the host, checked."""

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from jreid.errors import InputError


def extract(
    embed: Callable[[jax.Array], jax.Array],
    batches: Iterable[Float[np.ndarray, "b h w 3"]],
    names: Sequence[str],
    sharding: jax.sharding.NamedSharding,
) -> Float[np.ndarray, "n d"]:
    """Embeddings `[N, D]` float32 of N named images, not normalised.

    Args:
        embed: a batch, split by `sharding`, to its embeddings, which every device holds.
        batches: the images in the order of `names`, the last batch filled up; the rows beyond N
            are dropped. Of several processes each one gives its own part of every batch.

    Raises:
        InputError: an embedding holds a NaN or an infinity; its image is named.
    """
    on_devices = (jax.make_array_from_process_local_data(sharding, batch) for batch in batches)
    parts = [np.asarray(embed(batch)) for batch in on_devices]
    features = np.concatenate(parts)[: len(names)]
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if bad.size:
        raise InputError(
            f"the embeddings of {bad.size} of {len(names)} images are not finite, first that of "
            f"{names[bad[0]]}; use a checkpoint from before the training diverged."
        )
    return features
