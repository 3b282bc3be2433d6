"""Computes result rows from embeddings, and writes the result file."""

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike
from jaxtyping import Float

from jreid.data.table import GalleryIndex, Table
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.protocols.query_gallery import (
    QueryGallery,
    fingerprint,
    most_unmatched,
    query_gallery,
)
from jreid.evaluation.protocols.regdb import REGDB_TRIALS
from jreid.evaluation.protocols.text import describe
from jreid.evaluation.ranking.cmc import memory, score_blocks
from jreid.evaluation.ranking.distance_tiles import distance_blocks
from jreid.evaluation.ranking.inputs import check_labels, one_device, refuse_junk
from jreid.evaluation.ranking.mixed import MixedScores, empty_mixed, mean_mixed, watch
from jreid.evaluation.ranking.rerank import require_possible, rerank_checked, rerank_memory
from jreid.evaluation.ranking.rerank_options import Rerank
from jreid.evaluation.ranking.scores import Metrics, QueryScores, mean_metrics
from jreid.evaluation.ranking.share import ALONE, Share
from jreid.evaluation.ranking.trials import rank_trials
from jreid.evaluation.results.checked import checked_features
from jreid.evaluation.results.collapse import CollapseWarning
from jreid.evaluation.results.identity_scores import pack, sum_by_identity
from jreid.files import write_text
from jreid.progress import ProgressBar, silent

CURVE = tuple(range(1, 21))  # the ranks of the CMC curve in a result
LARGE = 1_000_000_000  # bytes of memory from which on a ranking is logged
log = logging.getLogger(__name__)


def evaluate(
    features: Float[ArrayLike, "n d"],
    table: Table,
    gallery_index: GalleryIndex,
    protocol: Protocol,
    rerank: Rerank | None = None,
    images: str = "",
    *,
    drawn: QueryGallery | None = None,
    mesh: Mesh | None = None,
    share: Share = ALONE,
    bar: ProgressBar = silent,
) -> dict[str, Any]:
    """One result row: a protocol's metrics as fractions, averaged over its trials.

    A trial's metrics are means over its valid queries. Warns if features have collapsed to a point.

    Args:
        features: one row for each row of the table; rows outside the protocol are not read.
        table: the dataset; its images are not read.
        gallery_index: the order in which the official sampling takes the gallery's images.
        protocol: the rule.
        rerank: how each trial's distances are re-ranked, if at all.
        images: a hash of the images of the features, if it is known.
        drawn: the `query_gallery` of the table and the protocol, if it is known.
        mesh: its devices share the work; None: one device does all.
        share: which queries this process ranks. All processes return the same row.
        bar: shows the ranking and its progress.

    Returns:
        `protocol` (its fields), `label`, `fingerprint`, `rerank`, `images`, `cmc` (ranks 1 to 20,
        as text -> fraction), `mAP`, `mINP`, `std`: these three, as standard deviations over trials,
        divided by their number; `trials`, `of_trials`: how many the dataset asks for; `queries`,
        `valid_queries`, and `unmatched`: why the others are not valid, both of the trial with the
        fewest valid ones; `mixed`, for a gallery of both modalities: `share`, the share of the
        queries' modality that the gallery really has, `cross_modality_mAP` and `confusion`; and
        `scores`: a list of one entry, the packed sums of the queries' scores
        by identity and trial, for intervals.

    Raises:
        InputError: the table does not allow the protocol, features hold NaN or infinity, or there
            are too few images for the re-ranking.
        ValueError: there are not as many features as rows.

    >>> table = Table(
    ...     name=np.array(["a", "b", "c"]), identity=np.array([7, 7, 8]),
    ...     camera=np.array([1, 2, 2]), modality=np.array(["infrared", "visible", "visible"]),
    ...     split=np.array(["test"] * 3), image=np.array([b""] * 3, object),
    ... )
    >>> features = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])
    >>> row = evaluate(features, table, {}, read_protocol("folder"))
    >>> row["label"], row["queries"], row["cmc"]["1"], row["mAP"]
    ('infrared to visible', 1, 1.0, 1.0)
    """
    drawn = drawn or query_gallery(table, gallery_index, protocol)
    queries, gallery = drawn.query_rows.shape[1], drawn.gallery_rows.shape[1]
    with warnings.catch_warnings():
        if share.number > 0:  # the first process warns
            warnings.simplefilter("ignore", CollapseWarning)
        features = checked_features(features, table, drawn, protocol)
    if rerank:
        require_possible(rerank, queries, gallery, mixed=protocol.share is not None)
    what, needed = _size(queries, gallery, features.shape[1], rerank)
    if needed > LARGE:
        log.info(what)
    progress = partial(bar, what)
    rankings, of_mixed = _rank(features, table, drawn, protocol, rerank, mesh, share, progress)
    trials = [mean_metrics(ranking, CURVE) for ranking in rankings]
    text = str(rerank) if rerank else "none"
    lost = most_unmatched(drawn, table)
    scores = sum_by_identity(rankings, table.identity[drawn.query_rows])
    return {
        "protocol": protocol.stored(),
        "label": describe(protocol),
        "fingerprint": fingerprint(protocol, table, drawn, text),
        "rerank": text,
        "images": images,
        **_over_trials(trials, np.mean),
        "std": _over_trials(trials, np.std),
        "trials": protocol.trials,
        # Of a mixed gallery, the trials are its draws.
        "of_trials": REGDB_TRIALS
        if protocol.split_number and protocol.share is None
        else protocol.trials,
        "queries": queries,
        "valid_queries": queries - sum(lost),
        "unmatched": dict(
            zip(("identity_not_in_gallery", "only_in_ignored_images"), lost, strict=True)
        ),
        **of_mixed,
        "scores": [pack(scores)],
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON, completely or not at all.

    Raises:
        ValueError: the result has NaN or infinity.
        InputError: the file cannot be written.

    >>> from pathlib import Path
    >>> write_result(Path("result.json"), {"rows": []})
    >>> Path("result.json").read_text()
    '{\\n  "rows": []\\n}\\n'
    """
    write_text(path, json.dumps(result, indent=2, allow_nan=False) + "\n")


def _size(queries: int, gallery: int, dimensions: int, rerank: Rerank | None) -> tuple[str, int]:
    """A description of the ranking, and the bytes that it needs besides the features."""
    if rerank is None:
        needed, how = memory(queries, gallery, dimensions), "ranking"
    else:
        needed, how = rerank_memory(queries, gallery, dimensions, rerank), f"re-ranking {rerank}"
    text = f"{how}: {queries:,} queries, {gallery:,} gallery images, about {needed / 1e6:,.0f} MB"
    return text, needed


def _rank(
    features: np.ndarray,
    table: Table,
    drawn: QueryGallery,
    protocol: Protocol,
    rerank: Rerank | None,
    mesh: Mesh | None,
    share: Share,
    progress: Callable[[int, int], None],
) -> tuple[list[QueryScores], dict[str, Any]]:
    """The ranking of each trial, by the features' distances or by re-ranked ones.

    Returns:
        The rankings, and the field `mixed` of a row if the gallery has both modalities.
    """
    if rerank is None and protocol.share is None:
        options = {"cmc": protocol.cmc, "distance": protocol.distance, "progress": progress}
        options |= {"mesh": mesh, "share": share}
        return share.join(lambda: rank_trials(features, table.identity, *drawn, **options)), {}
    of_query = protocol.direction.partition("_to_")[0]

    def rank(query: np.ndarray, gallery: np.ndarray) -> tuple[QueryScores, MixedScores]:
        sides = features[query], features[gallery]
        if rerank:
            blocks = rerank_checked(*sides, rerank, protocol.distance, mesh, share)
        else:
            devices = mesh or one_device(features)
            blocks = distance_blocks(*sides, protocol.distance, devices, share)
        raw = table.identity[query], table.identity[gallery]
        raw += drawn.query_group[query], drawn.gallery_group[gallery]
        labels = refuse_junk(check_labels(*raw, len(query), len(gallery)))
        mixed = empty_mixed(len(query))
        if protocol.share is not None:
            blocks = watch(blocks, raw, table.modality[gallery] == of_query, mixed)
        return score_blocks(blocks, labels, protocol.cmc), mixed

    trials: list[tuple[QueryScores, MixedScores]] = []
    progress(0, len(drawn.query_rows))
    for query, gallery in zip(drawn.query_rows, drawn.gallery_rows, strict=True):
        scores, mixed = share.join(lambda query=query, gallery=gallery: [*rank(query, gallery)])
        trials.append((QueryScores(*scores), MixedScores(*mixed)))
        progress(len(trials), len(drawn.query_rows))
    rankings = [scores for scores, _ in trials]
    if protocol.share is None:
        return rankings, {}
    shares = [(table.modality[rows] == of_query).mean() for rows in drawn.gallery_rows]
    return rankings, {"mixed": {"share": float(np.mean(shares)), **mean_mixed(trials)}}


def _over_trials(trials: list[Metrics], statistic: Any) -> dict[str, Any]:
    return {
        "cmc": {str(k): float(statistic([trial.cmc[k] for trial in trials])) for k in CURVE},
        "mAP": float(statistic([trial.mean_average_precision for trial in trials])),
        "mINP": float(statistic([trial.mean_inverse_negative_penalty for trial in trials])),
    }
