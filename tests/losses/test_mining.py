"""`mined_triplet` against loops in float64: every distance, mining, hinge and reduction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import mined_triplet

LINE = jnp.array([[0.0], [1.0], [3.0], [7.0]])
PAIRS = jnp.array([0, 0, 1, 1])
AXES = [
    *itertools.product(
        ("cosine", "euclidean"), ("hardest", "weighted"), (0.3, None), ("mean", "sum")
    )
]


def distance_of(x, y, distance):
    if distance == "euclidean":
        return np.linalg.norm(x - y)
    return 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def softmax_mean(values, scores):
    weights = np.exp(scores - np.max(scores))
    return (weights * values).sum() / weights.sum()


@pytest.mark.parametrize(("distance", "mining", "margin", "reduce"), AXES)
def test_every_choice_equals_loops(distance, mining, margin, reduce):
    rng = np.random.default_rng(0)
    anchors, positives, negatives = rng.normal(size=(3, 6, 4)).astype(np.float32)
    identity, others = np.array([0, 0, 1, 1, 2, 2]), np.array([2, 1, 0, 2, 1, 0])
    terms = []
    for x, own in zip(anchors.astype(np.float64), identity, strict=True):
        far = np.array([distance_of(x, y, distance) for y in positives[others == own]])
        near = np.array([distance_of(x, y, distance) for y in negatives[others != own]])
        gap = far.max() - near.min()
        if mining == "weighted":
            gap = softmax_mean(far, far) - softmax_mean(near, -near)
        terms.append(np.log1p(np.exp(gap)) if margin is None else max(0.0, gap + margin))
    got = mined_triplet(
        anchors, identity, positives, negatives, others,
        margin=margin, distance=distance, mining=mining, reduce=reduce,
    )  # fmt: skip
    np.testing.assert_allclose(got, getattr(np, reduce)(terms), rtol=1e-5)


@pytest.mark.parametrize("sets", [{"positives": LINE[:1]}, {"negatives": LINE[:1]}])
def test_candidates_without_their_identities_are_refused(sets):
    with pytest.raises(ValueError):
        mined_triplet(LINE[:4], jnp.array([0, 0, 1, 1]), **sets)


@pytest.mark.parametrize("mining", ["hardest", "weighted"])
@pytest.mark.parametrize("margin", [0.3, None])
def test_an_anchor_without_a_negative_costs_nothing_and_learns_nothing(mining, margin):
    identity = jnp.zeros(4, int)
    value, gradient = jax.value_and_grad(mined_triplet)(
        LINE[:4], identity, margin=margin, mining=mining
    )
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_anchors_are_their_own_positives_at_exactly_zero():
    assert mined_triplet(LINE[:2], jnp.array([0, 1]), margin=2.0) == 1.0
