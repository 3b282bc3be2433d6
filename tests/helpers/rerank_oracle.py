"""A slow re-ranking to compare with: dense N x N float64, step by step after the papers."""

import numpy as np


def squared_distances(features, kind):
    """[N, N] float64, each pair's from its own difference; rounded, so that equal ones tie."""
    features = np.asarray(features, np.float64)
    if kind == "cosine":
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(norm == 0, 1, norm)
    return np.array([np.square(features - row).sum(axis=1) for row in features]).round(12)


def rerank(query, gallery, kind="standard", k1=20, k2=6, weight=0.3, distance="cosine"):
    """[Q, G] float64 re-ranked distances."""
    Q, N = len(query), len(query) + len(gallery)
    squared = squared_distances(np.concatenate([query, gallery]), distance)
    largest = squared.max(axis=1)
    relative = squared / np.where(largest == 0, 1, largest)[:, None]
    np.fill_diagonal(squared, -1)  # an image comes before its equals
    if kind == "query_only":
        squared[:, Q:] = np.inf
    ranked = np.argsort(squared, axis=1, kind="stable")

    def reciprocal(i, k):
        return {j for j in ranked[i, : k + 1] if i in ranked[j, : k + 1]}

    codes = np.zeros((N, N))
    for i in range(N):
        near = reciprocal(i, k1)
        members = set(near)
        for j in near:
            half = reciprocal(j, int(np.around(k1 / 2)))
            if len(half & near) > 2 / 3 * len(half):
                members |= half
        members = sorted(members)
        if members:
            weights = np.exp(-relative[i, members])
            codes[i, members] = weights / weights.sum()
    if k2 > 1:
        codes = np.array([codes[ranked[i, :k2]].mean(axis=0) for i in range(N)])

    jaccard = np.zeros((Q, N - Q))
    for q in range(Q):
        for g in range(Q, N):
            shared = np.minimum(codes[q], codes[g]).sum()
            jaccard[q, g - Q] = 1 - shared / (2 - shared)
    return (1 - weight) * jaccard + weight * relative[:Q, Q:]
