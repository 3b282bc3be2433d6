"""A model's score on a split: embed its images once, then one result row for each protocol."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from jreid.data.dataset import Dataset
from jreid.data.pipeline import embedding_batches
from jreid.data.table import MODALITIES, Table
from jreid.evaluation.evaluate import evaluate
from jreid.evaluation.features import extract
from jreid.evaluation.protocols import Protocol, problem
from jreid.methods import Config

# Images and their modality to embeddings: a compiled `embed` with its variables bound.
Embed = Callable[[jax.Array, str], jax.Array]


def protocols(config: Config, split: str) -> list[Protocol]:
    """The protocols of the config on a split: every search and number of shots."""
    options = config.evaluation
    return [
        Protocol(
            name=options.protocol,
            split=split,
            search=search,
            shots=shots,
            draw=options.draw,
            trials=options.trials,
            distance=options.distance,
        )
        for search in options.searches
        for shots in options.shots
    ]


def monitored(config: Config) -> Protocol:
    """What training watches: the config's first protocol, on the validation identities."""
    return protocols(config, "validation")[0]


def check_protocols(config: Config, dataset: Dataset) -> None:
    """Raises InputError where the dataset does not allow a protocol that will be evaluated."""
    wanted = protocols(config, "test")
    if validates(config):
        wanted.append(monitored(config))
    for protocol in wanted:
        problem(dataset.table, dataset.gallery_index, protocol)


def validates(config: Config) -> bool:
    """Whether training is watched on validation identities: they are not trained on."""
    return config.evaluation.every_epochs > 0 and "validation" not in config.data.train_splits


def embed_table(
    embed: Embed, table: Table, config: Config, sharding: NamedSharding
) -> Float[np.ndarray, "n d"]:
    """Embeddings of a Table's images, each through the stem of its modality."""
    parts = []
    for modality in MODALITIES:
        rows = np.flatnonzero(table.modality == modality)
        names = table.name[rows].tolist()
        batches = embedding_batches(
            table.image[rows].tolist(),
            names,
            config.image.size,
            config.image.resize,
            config.evaluation.batch_size,
        )
        features = extract(lambda x, m=modality: embed(x, m), batches, names, sharding)
        parts.append((rows, features))
    joined = np.empty((len(table.name), parts[0][1].shape[1]), np.float32)
    for rows, features in parts:
        joined[rows] = features
    return joined


def score(
    embed: Embed,
    dataset: Dataset,
    wanted: list[Protocol],
    config: Config,
    sharding: NamedSharding,
) -> list[dict[str, Any]]:
    """One result row for each protocol; all are of one split."""
    table = dataset.table.take(dataset.table.split == wanted[0].split)
    features = embed_table(embed, table, config, sharding)
    return [
        {"dataset": config.data.name}
        | evaluate(features, table, dataset.gallery_index, protocol, dataset.fingerprint)
        for protocol in wanted
    ]
