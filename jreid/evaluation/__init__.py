"""The evaluation of embeddings: protocols, ranks, metrics and result files."""

from jreid.evaluation.protocols import PROTOCOLS
from jreid.evaluation.protocols.protocol import Protocol, Rule, validated
from jreid.evaluation.protocols.query_gallery import (
    QueryGallery,
    fingerprint,
    most_unmatched,
    query_gallery,
)
from jreid.evaluation.protocols.text import describe, read_protocol, read_protocols
from jreid.evaluation.ranking.cmc import cmc_map
from jreid.evaluation.ranking.inputs import DISTANCES
from jreid.evaluation.ranking.nearest import nearest
from jreid.evaluation.ranking.rerank import rerank, rerank_blocks
from jreid.evaluation.ranking.rerank_options import (
    KINDS,
    Rerank,
    read_rerank,
    read_reranks,
    rerank_fault,
)
from jreid.evaluation.ranking.scores import Metrics, QueryScores, mean_metrics
from jreid.evaluation.ranking.share import Share
from jreid.evaluation.results.compare import compare
from jreid.evaluation.results.feature_file import Features, load_features, read_features
from jreid.evaluation.results.raw_first import Wanted, raw_first
from jreid.evaluation.results.result_file import read_result
from jreid.evaluation.results.row import evaluate, write_result
from jreid.evaluation.results.tables import format_comparison, format_table

__all__ = [
    "DISTANCES",
    "KINDS",
    "PROTOCOLS",
    "Features",
    "Metrics",
    "Protocol",
    "QueryGallery",
    "QueryScores",
    "Rerank",
    "Rule",
    "Share",
    "Wanted",
    "cmc_map",
    "compare",
    "describe",
    "evaluate",
    "fingerprint",
    "format_comparison",
    "format_table",
    "load_features",
    "mean_metrics",
    "most_unmatched",
    "nearest",
    "query_gallery",
    "raw_first",
    "read_features",
    "read_protocol",
    "read_protocols",
    "read_rerank",
    "read_reranks",
    "read_result",
    "rerank",
    "rerank_blocks",
    "rerank_fault",
    "validated",
    "write_result",
]
