"""A model's scores on a split: its images are embedded once, each protocol gives a result row."""

import contextlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jreid.data.dataset import Dataset
from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.distributed.mesh import local_mesh
from jreid.distributed.processes import gather, is_main_process
from jreid.engine.model import Model
from jreid.engine.out_of_memory import explain_out_of_memory
from jreid.evaluation import Protocol, Rerank, Share, describe, evaluate
from jreid.methods import Variables
from jreid.progress import ProgressBar, silent
from jreid.runs.protocols import Drawn


def embed_table(
    model: Model, variables: Variables, table: Table, bar: ProgressBar = silent
) -> Float[np.ndarray, "n d"]:
    """Embeddings of a Table's images, each through the stem of its modality."""
    parts = []
    for modality in MODALITIES:
        rows = np.flatnonzero(table.modality == modality)
        if not rows.size:
            continue
        images, names = table.image[rows].tolist(), table.name[rows].tolist()
        parts.append((rows, model.embed(variables, images, names, modality, bar=bar)))
    joined = np.empty((len(table.name), parts[0][1].shape[1]), np.float32)
    for rows, features in parts:
        joined[rows] = features
    return joined


def split_embeddings(
    model: Model, variables: Variables, dataset: Dataset, split: str, bar: ProgressBar = silent
) -> tuple[Table, Float[np.ndarray, "n d"]]:
    """The images of a dataset's split and their embeddings."""
    table = dataset.table.of_split(split)
    return table, embed_table(model, variables, table, bar)


def marks_of(dataset: Dataset) -> dict[str, Any]:
    """The fields that mark a row as a result on a partial dataset."""
    return {"partial": dataset.partial, "skipped_images": len(dataset.skipped)}


def explain_full_ranking(
    protocol: Protocol, rerank: Rerank | None, without: str
) -> contextlib.AbstractContextManager[None]:
    """Turns an out-of-memory error of a ranking into an InputError.

    Args:
        without: the flag that turns re-ranking off.
    """
    if rerank is None:
        what, remedy = f"ranking by {describe(protocol)}", "use a machine with more memory"
    else:
        what = f"re-ranking {rerank} by {describe(protocol)}"
        remedy = f"turn it off by {without}, or lower its k1"
    return explain_out_of_memory(what, remedy)


def score(
    model: Model,
    dataset: Dataset,
    drawn: Drawn,
    features: Float[np.ndarray, "n d"],
    rerank: Rerank | None = None,
    bar: ProgressBar = silent,
) -> dict[str, Any]:
    """The result row of a protocol and a re-ranking. Each process embeds and ranks its share.

    Args:
        features: of the images of `drawn.table`.
        bar: as in `evaluate`.

    Raises:
        InputError: as `evaluate`, or memory is full.
    """

    with explain_full_ranking(drawn.protocol, rerank, "--config.evaluation.rerank=none"):
        row = evaluate(
            features,
            drawn.table,
            dataset.gallery_index,
            drawn.protocol,
            rerank,
            drawn.images,
            drawn=drawn.query_gallery,
            **devices_of_all(),
            bar=bar if is_main_process() else silent,
        )
    about = {"dataset": model.config.data.name, "protocol_text": drawn.text}
    return about | row | marks_of(dataset)


def devices_of_all() -> dict[str, Any]:
    """The options of `evaluate` for a ranking by all devices of all processes."""
    share = Share(jax.process_index(), jax.process_count(), gather)
    return {"mesh": local_mesh(), "share": share}
