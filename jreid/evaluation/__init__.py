"""How good embeddings are: protocols, ranks, metrics and the result file."""

from jreid.evaluation.choices import choose, describe, protocols
from jreid.evaluation.compare import compare, format_comparison, read_result
from jreid.evaluation.draws import GalleryIndex
from jreid.evaluation.evaluate import evaluate, format_table, write_result
from jreid.evaluation.feature_file import read_features
from jreid.evaluation.neighbours import nearest
from jreid.evaluation.problems import Problem, fingerprint, most_unmatched, problem
from jreid.evaluation.protocols import PROTOCOLS, Protocol
from jreid.evaluation.ranking import DISTANCES, Metrics, Ranking, cmc_map, mean_metrics
from jreid.evaluation.raw_first import Wanted, raw_first
from jreid.evaluation.reranking import KINDS, Rerank, rerank, rerank_blocks, rerank_fault

__all__ = [
    "DISTANCES",
    "KINDS",
    "PROTOCOLS",
    "GalleryIndex",
    "Metrics",
    "Problem",
    "Protocol",
    "Ranking",
    "Rerank",
    "Wanted",
    "choose",
    "cmc_map",
    "compare",
    "describe",
    "evaluate",
    "fingerprint",
    "format_comparison",
    "format_table",
    "mean_metrics",
    "most_unmatched",
    "nearest",
    "problem",
    "protocols",
    "raw_first",
    "read_features",
    "read_result",
    "rerank",
    "rerank_blocks",
    "rerank_fault",
    "write_result",
]
