"""A slow re-ranking to compare with: dense N x N float64, step by step after the papers."""

import functools

import numpy as np


def squared_distances(features, kind):
    """[N, N] float64, each pair's from its own difference; rounded, so that equal ones tie."""
    features = np.asarray(features, np.float64)
    if kind == "cosine":
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(norm == 0, 1, norm)
    return np.array([np.square(features - row).sum(axis=1) for row in features]).round(12)


def rerank(query, gallery, kind="standard", k1=20, k2=6, weight=0.3, k3=None, distance="cosine"):
    """[Q, G] float64 re-ranked distances."""
    if k3 is not None or kind not in ("standard", "query_only"):
        return cmkr(query, gallery, kind, k1, k2, weight, k3, distance)
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


def cmkr(query, gallery, kind, k1, k2, weight, k3=None, distance="cosine"):
    """[Q, G] float64, by the equations of CMKR: lists of neighbors of each side apart."""
    Q, N = len(query), len(query) + len(gallery)
    d = squared_distances(np.concatenate([query, gallery]), distance)
    sides = {"Q": range(Q), "G": range(Q, N), "all": range(N)}
    k_half = int(np.around(k1 / 2))

    def side(i):
        return "Q" if i < Q else "G"

    def ranked(i, t):
        """The images of a side by their distance to i: itself first, ties by number."""
        return sorted(sides[t], key=lambda j: (-1 if j == i else d[i, j], j))

    rank = {(i, t): ranked(i, t) for i in range(N) for t in sides}

    @functools.cache
    def reciprocal(i, k, t):
        """R_t(i, k), or R(i, k) for t = all."""
        of = "all" if t == "all" else side(i)
        return {j for j in rank[i, t][: k + 1] if i in rank[j, of][: k + 1]}

    @functools.cache
    def scaled(i, t):
        largest = max(d[i, j] for j in sides[t])
        return d[i] / (1 if largest == 0 else largest)

    def codes(sets, candidates, t):
        result = np.zeros((N, N))
        for i in range(N):
            first = sets(i)
            members = set(first)
            for c in first:
                half = candidates(c)
                if len(half & first) > 2 / 3 * len(half):
                    members |= half
            for j in members:
                result[i, j] = np.exp(-scaled(i, t)[j])
        total = result.sum(axis=1, keepdims=True)
        return result / np.where(total == 0, 1, total)

    def averaged(code, nearest):
        return code if k2 == 1 else np.array([code[nearest(i)].mean(axis=0) for i in range(N)])

    def jaccard(code):
        shared = np.minimum(code[:Q, None], code[None, Q:]).sum(axis=2)
        return 1 - shared / (2 - shared)

    def first_of(i, t):
        if k3 is None:
            return rank[i, t][:k2]
        return [*rank[i, "Q"][: k2 - k3], *rank[i, "G"][:k3]]

    if kind in ("standard", "extended"):

        def sets(i):
            other = {"Q": "G", "G": "Q"}[side(i)]
            more = reciprocal(i, k1, other) if kind == "extended" else set()
            return reciprocal(i, k1, "all") | more

        code = codes(sets, lambda c: reciprocal(c, k_half, "all"), "all")
        result = jaccard(averaged(code, lambda i: first_of(i, "all")))
    elif kind == "divided":  # the gallery's rows are empty

        def among(k):
            return lambda i: reciprocal(i, k, "Q") if i < Q else set()

        code = codes(among(k1), among(k_half), "Q")
        result = jaccard(averaged(code, lambda i: first_of(i, "Q")))
    else:
        result = 0
        for t, other in (("G", "Q"), ("Q", "G")):
            code = codes(
                lambda i, t=t: reciprocal(i, k1, t), lambda c, t=t: reciprocal(c, k_half, t), t
            )
            stack = [*sides[other], *sides[t]]  # the order of the rows in the released code

            def nearest(i, t=t, stack=stack):
                if kind == "constrained":
                    return rank[i, t][:k2]
                return [stack[j - sides[t].start] for j in rank[i, t][:k2]]

            result = result + jaccard(averaged(code, nearest)) / 2
    final = np.array([scaled(q, "all")[Q:] for q in range(Q)])
    return weight * final + (1 - weight) * result
