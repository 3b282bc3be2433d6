"""The usual dense forms of re-ranking: N x N arrays in numpy, and loops over their rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

Sets = Callable[[int], np.ndarray]
ALL, QUERIES, GALLERY = "all", 0, 1


def rerank(
    query: np.ndarray, gallery: np.ndarray, kind: str, k1: int, k2: int, weight: float
) -> np.ndarray:
    """The re-ranked distances by `standard`, `extended` or `constrained`; weights are float32."""
    features = np.concatenate([query, gallery])
    Q, N = len(query), len(features)
    norm = np.square(features).sum(axis=1)
    distance = norm[:, None] + norm - 2 * (features @ features.T)
    scaled = (distance / distance.max(axis=0)).T
    ranked: dict[Any, np.ndarray] = {ALL: np.argsort(distance).astype(np.int32)}
    if kind != "standard":
        ranked[QUERIES] = np.argsort(distance[:, :Q]).astype(np.int32)
        ranked[GALLERY] = np.argsort(distance[:, Q:]).astype(np.int32) + Q

    def reciprocal(i: int, k: int, among: Any) -> np.ndarray:
        forward = ranked[among][i, : k + 1]
        own = ALL if among == ALL else int(i >= Q)
        return forward[np.nonzero(ranked[own][forward, : k + 1] == i)[0]]

    def extended(i: int) -> np.ndarray:
        other = QUERIES if i >= Q else GALLERY
        return np.union1d(reciprocal(i, k1, ALL), reciprocal(i, k1, other))

    if kind == "constrained":
        result = np.zeros((Q, N - Q), np.float32)
        for side, columns in ((GALLERY, slice(Q, N)), (QUERIES, slice(0, Q))):
            relative = np.zeros((N, N), np.float32)
            block = distance[:, columns]
            relative[:, columns] = block / block.max(axis=1, keepdims=True)
            code = _codes(
                lambda i, side=side: reciprocal(i, k1, side),
                lambda j, side=side: reciprocal(j, round(k1 / 2), side),
                relative,
            )
            result += jaccard(_averaged(code, ranked[side][:, :k2]), Q) / 2
    else:
        near = extended if kind == "extended" else lambda i: reciprocal(i, k1, ALL)
        code = _codes(near, lambda j: reciprocal(j, round(k1 / 2), ALL), scaled)
        result = jaccard(_averaged(code, ranked[ALL][:, :k2]), Q)
    return (1 - weight) * result + weight * scaled[:Q, Q:]


def expand(near: np.ndarray, half: Sets) -> np.ndarray:
    """A set, with the candidates of its members of which more than two thirds are in it."""
    members = near
    for j in near:
        more = half(j)
        if len(np.intersect1d(more, near)) > 2 / 3 * len(more):
            members = np.append(members, more)
    return np.unique(members)


def jaccard(weights: np.ndarray, Q: int) -> np.ndarray:
    """The Jaccard distances of the first Q rows to the others."""
    gallery = weights[Q:]
    inverted = [np.nonzero(column)[0] for column in gallery.T]
    result = np.zeros((Q, len(gallery)), np.float32)
    for i in range(Q):
        shared = np.zeros(len(gallery), np.float32)
        for j in np.nonzero(weights[i])[0]:
            shared[inverted[j]] += np.minimum(weights[i, j], gallery[inverted[j], j])
        result[i] = 1 - shared / (2 - shared)
    return result


def _codes(near: Sets, half: Sets, relative: np.ndarray) -> np.ndarray:
    N = len(relative)
    weights = np.zeros((N, N), np.float32)
    for i in range(N):
        members = expand(near(i), half)
        weight = np.exp(-relative[i, members])
        weights[i, members] = weight / weight.sum() if len(members) else 0
    return weights


def _averaged(weights: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    return np.array([weights[rows].mean(axis=0) for rows in nearest])
