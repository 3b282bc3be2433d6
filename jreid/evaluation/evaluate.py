"""From embeddings to a result row, the result file and the table on the terminal."""

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rich.box
import rich.table
from jaxtyping import Float

from jreid.data.table import Table
from jreid.evaluation.protocols import GalleryIndex, Protocol, fingerprint, problem
from jreid.evaluation.ranking import Metrics, cmc_map, mean_metrics, require_finite
from jreid.files import write_text

RANKS = (1, 5, 10, 20)


def evaluate(
    features: Float[np.ndarray, "n d"],
    table: Table,
    gallery_index: GalleryIndex,
    protocol: Protocol,
    data_hash: str,
) -> dict[str, Any]:
    """One result row: a protocol's metrics as fractions, averaged over its trials.

    A trial's metrics are means over its valid queries. Warns where features have collapsed to a
    point.

    Args:
        features: one row for each row of the table; rows outside the protocol are not read.
        table: the dataset; its images are not read.
        gallery_index: the order in which the gallery's images are drawn.
        protocol: the rule.
        data_hash: of the table and the gallery index, which the caller computes once.

    Returns:
        `protocol` (its fields), `fingerprint`, `rerank`, `cmc` (rank as text -> fraction), `mAP`,
        `mINP`, `trials`, `queries`, `valid_queries` (the fewest of any trial) and `std`: `cmc`,
        `mAP` and `mINP` again, as standard deviations over the trials, divided by their number.

    Raises:
        InputError: the table does not fit the protocol, or features hold NaN or infinity.
        ValueError: there are not as many features as rows.
    """
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(table.name):
        raise ValueError(
            f"features has the shape {list(features.shape)}: it must be [{len(table.name)}, D], "
            "one row for each row of the table."
        )
    drawn = problem(table, gallery_index, protocol)
    query = features[drawn.query_rows]
    gallery_rows = np.unique(drawn.gallery_rows[drawn.gallery_rows >= 0])
    for rows, role in ((drawn.query_rows, "query"), (gallery_rows, "gallery")):
        require_finite(features[rows], role, table.name[rows])
        _warn_if_collapsed(features[rows], role, protocol.distance)
    trials = []
    for rows, identities, places in zip(
        drawn.gallery_rows, drawn.gallery_identity, drawn.gallery_place, strict=True
    ):
        ranking = cmc_map(
            query,
            features[rows],  # -1, the padding, picks a row that gallery_valid leaves out
            drawn.query_identity,
            identities,
            drawn.query_place,
            places,
            gallery_valid=rows >= 0,
            cmc=protocol.cmc,
            distance=protocol.distance,
        )
        trials.append(mean_metrics(ranking, RANKS))
    return {
        "protocol": protocol._asdict(),
        "fingerprint": fingerprint(protocol, data_hash),
        "rerank": "none",
        **_over_trials(trials, np.mean),
        "trials": len(trials),
        "queries": len(query),
        "valid_queries": min(metrics.valid_queries for metrics in trials),
        "std": _over_trials(trials, np.std),
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON, all of it or nothing.

    Raises:
        ValueError: the result holds NaN or infinity.
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(result, indent=2, allow_nan=False) + "\n")


def format_table(rows: Iterable[Mapping[str, Any]]) -> rich.table.Table:
    """The rows for the terminal, in per cent, R1 and mAP with their deviation over the trials."""
    rows = list(rows)
    with_checkpoint = any("checkpoint" in row for row in rows)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = ["protocol", "rerank", *(f"R{rank}" for rank in RANKS), "mAP", "mINP", "queries"]
    for name in (*(["checkpoint"] if with_checkpoint else []), *names, "fingerprint"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*([row.get("checkpoint", "")] if with_checkpoint else []), *_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    protocol, std = row["protocol"], row["std"]
    validation = "validation, " if protocol["split"] == "validation" else ""
    first, *further = (str(rank) for rank in RANKS)
    return [
        f"{validation}{protocol['search']}, {protocol['shots']}-shot",
        row["rerank"],
        f"{100 * row['cmc'][first]:.2f}±{100 * std['cmc'][first]:.2f}",
        *(f"{100 * row['cmc'][rank]:.1f}" for rank in further),
        f"{100 * row['mAP']:.2f}±{100 * std['mAP']:.2f}",
        f"{100 * row['mINP']:.2f}",
        f"{row['valid_queries']}/{row['queries']}",
        row["fingerprint"],
    ]


def _over_trials(trials: list[Metrics], statistic: Any) -> dict[str, Any]:
    return {
        "cmc": {str(k): float(statistic([trial.cmc[k] for trial in trials])) for k in RANKS},
        "mAP": float(statistic([trial.mean_average_precision for trial in trials])),
        "mINP": float(statistic([trial.mean_inverse_negative_penalty for trial in trials])),
    }


def _warn_if_collapsed(features: np.ndarray, role: str, distance: str) -> None:
    """Warns where all features are one point, or one direction, but for a thousandth."""
    features = features.astype(np.float64)
    if distance == "cosine":
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(norm == 0, 1, norm)
    mean = features.mean(axis=0)
    spread = np.linalg.norm(features - mean, axis=1).max()
    if spread <= 1e-3 * np.linalg.norm(mean):
        warnings.warn(
            f"The features of all {len(features)} {role} images are (nearly) equal: the model has "
            "collapsed, and its metrics mean nothing.",
            RuntimeWarning,
            stacklevel=3,
        )
