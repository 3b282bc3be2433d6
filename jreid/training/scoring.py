"""A model's score on a split: embed its images once, then one result row for each protocol."""

from typing import Any

import numpy as np
from jaxtyping import Float

from jreid.data.dataset import Dataset
from jreid.data.table import MODALITIES, Table
from jreid.evaluation.evaluate import evaluate
from jreid.evaluation.protocols import Protocol, problem
from jreid.methods import Config, Variables
from jreid.training.model import Model


def protocols(config: Config, split: str) -> list[Protocol]:
    """The protocols of the config on a split: every search and number of shots."""
    options = config.evaluation
    return [
        Protocol(
            name=config.data.protocol,
            split=split,
            search=search,
            shots=shots,
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


def embed_table(model: Model, variables: Variables, table: Table) -> Float[np.ndarray, "n d"]:
    """Embeddings of a Table's images, each through the stem of its modality."""
    parts = []
    for modality in MODALITIES:
        rows = np.flatnonzero(table.modality == modality)
        images, names = table.image[rows].tolist(), table.name[rows].tolist()
        parts.append((rows, model.embed(variables, images, names, modality)))
    joined = np.empty((len(table.name), parts[0][1].shape[1]), np.float32)
    for rows, features in parts:
        joined[rows] = features
    return joined


def score(
    model: Model, variables: Variables, dataset: Dataset, wanted: list[Protocol]
) -> list[dict[str, Any]]:
    """One result row for each protocol; all are of one split."""
    table = dataset.table.take(dataset.table.split == wanted[0].split)
    features = embed_table(model, variables, table)
    return [
        {"dataset": model.config.data.name}
        | evaluate(features, table, dataset.gallery_index, protocol, dataset.fingerprint)
        for protocol in wanted
    ]
