"""A model's score on a split: embed its images once, then one result row for each protocol."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jreid import evaluation
from jreid.data.dataset import Dataset
from jreid.data.table import MODALITIES, Table
from jreid.distributed.mesh import local_mesh
from jreid.distributed.processes import on_main_process
from jreid.engine.model import Model
from jreid.engine.out_of_memory import explain_out_of_memory
from jreid.errors import InputError
from jreid.evaluation import (
    Protocol,
    Rerank,
    describe,
    evaluate,
    most_unmatched,
    query_gallery,
    rerank_fault,
)
from jreid.methods import Config, Variables


def protocols(config: Config, split: str) -> list[Protocol]:
    """The protocols of the config on a split: every choice that its protocol has."""
    options = config.evaluation
    return evaluation.protocols(
        config.data.protocol,
        split,
        searches=options.searches,
        shots=options.shots,
        directions=options.directions,
        sampling=options.sampling,
        trials=options.trials,
        cmc=options.cmc,
        distance=options.distance,
        split_number=config.data.split_number,
    )


def described(config: Config) -> list[str]:
    """The protocols that a run of this config will be evaluated by, in words."""
    return [describe(protocol) for protocol in protocols(config, "test")]


def rerankings(config: Config) -> list[Rerank | None]:
    """The re-rankings of the config, None for the raw distances."""
    options = config.evaluation
    return [
        None if kind == "none" else Rerank(kind, options.k1, options.k2, options.rerank_weight)
        for kind in options.rerank
    ]


def monitored(config: Config) -> Protocol:
    """What training watches: the config's first protocol, on the validation identities."""
    return protocols(config, "validation")[0]


def check_protocols(config: Config, dataset: Dataset) -> list[str]:
    """What each protocol that will be evaluated asks, in words: queries, and those without match.

    Raises:
        InputError: the dataset does not allow one of them, or has too few images for one of the
            config's re-rankings.
    """
    sentences = [
        _told(protocol, dataset, rerankings(config)) for protocol in protocols(config, "test")
    ]
    if validates(config, dataset):
        sentences.append(_told(monitored(config), dataset, []))
    return sentences


def _told(protocol: Protocol, dataset: Dataset, reranked: Sequence[Rerank | None]) -> str:
    drawn = query_gallery(dataset.table, dataset.gallery_index, protocol)
    for rerank in reranked:
        if rerank:
            _check_rerank(rerank, drawn.query_rows.shape[1], drawn.gallery_rows.shape[1], protocol)
    absent, ignored = most_unmatched(drawn, dataset.table)
    return (
        f"{describe(protocol)}: {drawn.query_rows.shape[1]:,} queries, "
        f"{drawn.gallery_rows.shape[1]:,} gallery images; {absent + ignored:,} queries without a "
        f"match ({absent:,} of identities not in the gallery, {ignored:,} only in ignored images)"
    )


def _check_rerank(rerank: Rerank, Q: int, G: int, protocol: Protocol) -> None:
    fault = rerank_fault(rerank, Q, G)
    if fault:
        parameter, why = fault
        field = {"kind": "rerank", "weight": "rerank_weight"}.get(parameter, parameter)
        raise InputError(
            f"config.evaluation.{field}={getattr(rerank, parameter)} cannot be used for re-ranking "
            f"{Q} queries and {G} gallery images ({describe(protocol)}): {why}; or evaluate "
            "without by --config.evaluation.rerank=\"('none',)\"."
        )


def validates(config: Config, dataset: Dataset) -> bool:
    """Whether training is watched on validation identities: there are some, not trained on."""
    left = {*dataset.table.split.tolist()} - {*config.data.train_splits}
    return config.evaluation.every_epochs > 0 and "validation" in left


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


def split_embeddings(
    model: Model, variables: Variables, dataset: Dataset, split: str
) -> tuple[Table, Float[np.ndarray, "n d"]]:
    """The images of a dataset's split and their embeddings."""
    table = dataset.table.take(dataset.table.split == split)
    return table, embed_table(model, variables, table)


def marks_of(dataset: Dataset) -> dict[str, Any]:
    """The fields of a row that mark it as of a dataset that is not whole."""
    return {"partial": dataset.partial, "skipped_images": len(dataset.skipped)}


def naming_full_ranking(
    protocol: Protocol, rerank: Rerank | None, without: str
) -> contextlib.AbstractContextManager[None]:
    """Turns the error of memory that a ranking has filled into an InputError.

    Args:
        without: the flag that leaves re-ranking out.
    """
    if rerank is None:
        remedy = "use a machine with more memory"
        return explain_out_of_memory(f"ranking by {describe(protocol)}", lambda: remedy)
    what = f"re-ranking {rerank} by {describe(protocol)}"
    return explain_out_of_memory(what, lambda: f"leave it out by {without}, or lower its k1")


def score(
    model: Model,
    dataset: Dataset,
    table: Table,
    features: Float[np.ndarray, "n d"],
    wanted: list[Protocol],
    reranked: Sequence[Rerank | None] = (None,),
    tell: Callable[[str, int], None] = lambda text, needed: None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """One result row for each protocol and re-ranking.

    Of several processes all embed, and the first one ranks.

    Args:
        table, features: of the split that all protocols are of, as `split_embeddings` gives them.
        tell, progress: as in `evaluate`.

    Raises:
        InputError: as `evaluate`, or memory is full.
    """
    images = table.fingerprint()[:12]
    marks = marks_of(dataset)

    def row(protocol: Protocol, rerank: Rerank | None) -> dict[str, Any]:
        with naming_full_ranking(protocol, rerank, "--config.evaluation.rerank=\"('none',)\""):
            ranked = evaluate(
                features,
                table,
                dataset.gallery_index,
                protocol,
                rerank,
                images,
                mesh=local_mesh(),
                tell=tell,
                progress=progress,
            )
        return {"dataset": model.config.data.name, **ranked, **marks}

    return on_main_process(
        lambda: [row(protocol, rerank) for protocol in wanted for rerank in reranked]
    )
