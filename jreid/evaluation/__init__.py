"""How good embeddings are: protocols, ranks, metrics and the result file."""

from jreid.evaluation.evaluate import evaluate, format_table, write_result
from jreid.evaluation.protocols import GalleryIndex, Problem, Protocol, fingerprint, problem
from jreid.evaluation.ranking import Metrics, Ranking, cmc_map, mean_metrics

__all__ = [
    "GalleryIndex",
    "Metrics",
    "Problem",
    "Protocol",
    "Ranking",
    "cmc_map",
    "evaluate",
    "fingerprint",
    "format_table",
    "mean_metrics",
    "problem",
    "write_result",
]
