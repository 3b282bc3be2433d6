"""Ways to rank a gallery, and the made-up features that they rank."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jreid.evaluation import QueryScores, cmc_map

# Queries, gallery images, identities, cameras.
SIZES = {
    "sysu": (3_803, 3_010, 96, 4),
    "regdb": (2_060, 2_060, 206, 2),
    "market": (3_368, 15_913, 750, 6),
    "msmt": (11_659, 82_161, 3_060, 15),
}
DIMENSIONS, BLOCK = 2_048, 256


class Problem(NamedTuple):
    """Features, identities and groups: a query ignores its identity's images of its camera."""

    query: np.ndarray
    gallery: np.ndarray
    query_identity: np.ndarray
    gallery_identity: np.ndarray
    query_group: np.ndarray
    gallery_group: np.ndarray


def make_problem(Q: int, G: int, identities: int, cameras: int) -> Problem:
    """Noisy images of each identity's center, as unit vectors; moderately hard."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((identities, DIMENSIONS), np.float32)

    def images(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        identity = random.integers(0, identities, number)
        features = random.standard_normal((number, DIMENSIONS), np.float32)
        features *= random.uniform(2, 8, (number, 1)).astype(np.float32)
        features += centers[identity]
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        return features, identity, identity * cameras + random.integers(0, cameras, number)

    (query, qi, qp), (gallery, gi, gp) = images(Q), images(G)
    return Problem(query, gallery, qi, gi, qp, gp)


def make_trials(trials: int = 10) -> tuple[Problem, np.ndarray]:
    """Galleries as SYSU-MM01's all-search, ten-shot: their images, and each trial's rows of these.

    Of 384 pairs of an identity and a camera, 301 have images; a trial has ten of each.
    """
    Q, _, identities, cameras = SIZES["sysu"]
    problem = make_problem(Q, 8_640, identities, cameras)
    random = np.random.default_rng(1)
    pairs = random.permutation(identities * cameras)[:301]
    kept = np.isin(problem.gallery_group, pairs)
    gallery, identity, group = (
        part[kept] for part in (problem.gallery, problem.gallery_identity, problem.gallery_group)
    )
    problem = problem._replace(gallery=gallery, gallery_identity=identity, gallery_group=group)
    drawn = []
    for _ in range(trials):
        order = random.permutation(len(group))
        ranked = order[np.argsort(group[order], kind="stable")]
        place = np.arange(len(group)) - np.searchsorted(group[ranked], group[ranked])
        drawn.append(ranked[place < 10])
    return problem, np.array(drawn)


def ours(problem: Problem) -> QueryScores:
    """By counting."""
    return cmc_map(*problem, cmc="image")


def bare_product(problem: Problem) -> None:
    """Only the distances, by blocks of queries; they are not kept."""
    gallery = jnp.asarray(problem.gallery)
    for start in range(0, len(problem.query), 2 * BLOCK):
        _product(gallery, problem.query[start : start + 2 * BLOCK]).block_until_ready()


def numpy_product(problem: Problem) -> None:
    """The same by numpy's BLAS."""
    for start in range(0, len(problem.query), 2 * BLOCK):
        np.matmul(problem.gallery, problem.query[start : start + 2 * BLOCK].T)


def numpy_argsort(problem: Problem) -> QueryScores:
    """Blocks of queries, each row sorted: the usual evaluator without its loop over queries."""
    return _by_sorting(problem, lambda query: np.argsort(-(query @ problem.gallery.T), axis=1))


def numpy_by_query(problem: Problem) -> QueryScores:
    """The usual evaluator of 2026: all distances by numpy, then a loop that sorts each query's."""
    distance = 1 - problem.query @ problem.gallery.T
    Q = len(distance)
    ranking = QueryScores(np.zeros(Q, int), np.zeros(Q), np.zeros(Q), np.zeros(Q, int))
    for row in range(Q):
        order = np.argsort(distance[row])
        order = order[problem.gallery_group[order] != problem.query_group[row]]
        match = problem.gallery_identity[order] == problem.query_identity[row]
        rank = np.flatnonzero(match) + 1
        if rank.size:
            ranking.rank[row], ranking.matches[row] = rank[0], rank.size
            ranking.average_precision[row] = (np.arange(1, rank.size + 1) / rank).mean()
            ranking.inverse_negative_penalty[row] = rank.size / rank[-1]
    return ranking


def jax_argsort(problem: Problem) -> QueryScores:
    """The same, compiled."""
    gallery = jnp.asarray(problem.gallery)
    return _by_sorting(problem, lambda query: np.asarray(_argsort(query, gallery)))


def torchmetrics(problem: Problem) -> QueryScores:
    """Its average precision, query by query; it has no CMC.

    It takes scores below 0 for no match, so all scores are moved above 0.
    """
    import torch

    retrieval = importlib.import_module("torchmetrics.functional.retrieval")
    gallery = torch.from_numpy(problem.gallery)
    Q = len(problem.query)
    ranking = QueryScores(np.zeros(Q, int), np.zeros(Q), np.zeros(Q), np.zeros(Q, int))
    for row, query in enumerate(problem.query):
        kept = problem.gallery_group != problem.query_group[row]
        match = (problem.gallery_identity == problem.query_identity[row])[kept]
        score = (2 + gallery @ torch.from_numpy(query))[torch.from_numpy(kept)]
        ranking.average_precision[row] = retrieval.retrieval_average_precision(
            score, torch.from_numpy(match)
        )
        ranking.matches[row] = match.sum()
    return ranking


def open_metric_learning(problem: Problem) -> QueryScores:
    """Its nearest neighbors, as many as the gallery, and their CMC and average precision.

    Groups are its sequences. Its CMC gives only the ranks that are 1; the others are searched here.
    """
    import torch

    neighbors = importlib.import_module("oml.functional.knn")
    metrics = importlib.import_module("oml.functional.metrics")
    named = {
        "embeddings_query": problem.query,
        "embeddings_gallery": problem.gallery,
        "labels_query": problem.query_identity,
        "labels_gallery": problem.gallery_identity,
        "sequence_ids_query": problem.query_group,
        "sequence_ids_gallery": problem.gallery_group,
    }
    G = len(problem.gallery)
    tensors = {name: torch.from_numpy(values) for name, values in named.items()}
    _, retrieved, relevant = neighbors.batched_knn_qg(**tensors, top_n=G)
    result = metrics.calc_retrieval_metrics(
        retrieved, relevant, None, (1,), (), (G,), reduce=False, verbose=False
    )
    matches = np.array([len(gallery) for gallery in relevant])
    rank = np.where(matches > 0, result["cmc"][1].numpy().astype(int), 0)
    for row in np.flatnonzero((matches > 0) & (rank == 0)):
        rank[row] = 1 + int(torch.isin(retrieved[row], relevant[row]).int().argmax())
    precision = np.where(matches > 0, result["map"][G].numpy(), 0)
    return QueryScores(rank, precision, np.zeros(len(rank)), matches)


METHODS: dict[str, Callable[[Problem], QueryScores | None]] = {
    "ours": ours,
    "bare_product": bare_product,
    "numpy_product": numpy_product,
    "numpy_by_query": numpy_by_query,
    "numpy_argsort": numpy_argsort,
    "jax_argsort": jax_argsort,
    "torchmetrics": torchmetrics,
    "open_metric_learning": open_metric_learning,
}
PACKAGES = {"torchmetrics": "torchmetrics", "open_metric_learning": "oml"}


def installed(name: str) -> bool:
    """Whether the package that a method needs is here; some need none."""
    return name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]) is not None


@jax.jit
def _product(gallery: jax.Array, query: jax.Array) -> jax.Array:
    return jnp.matmul(gallery, query.T, precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _argsort(query: jax.Array, gallery: jax.Array) -> jax.Array:
    return jnp.argsort(-_product(gallery, query).T, axis=1)


def _by_sorting(problem: Problem, sort: Callable[[np.ndarray], np.ndarray]) -> QueryScores:
    parts = []
    for start in range(0, len(problem.query), BLOCK):
        rows = slice(start, start + BLOCK)
        order = sort(problem.query[rows])
        kept = problem.gallery_group[order] != problem.query_group[rows, None]
        match = kept & (problem.gallery_identity[order] == problem.query_identity[rows, None])
        row, column = np.nonzero(match)
        rank = np.cumsum(kept, axis=1, dtype=np.int32)[row, column]
        matches = match.sum(axis=1)
        first = np.cumsum(matches) - matches
        number = np.arange(len(row)) - first[row] + 1
        precision = np.bincount(row, number / rank, len(match)) / np.maximum(matches, 1)
        padded = np.append(rank, 1)
        last = padded[np.where(matches > 0, first + matches - 1, -1)]
        rank_1 = np.where(matches > 0, padded[first], 0)
        parts.append(QueryScores(rank_1, precision, matches / last, matches))
    return QueryScores(*(np.concatenate(column) for column in zip(*parts, strict=True)))
