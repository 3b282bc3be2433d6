"""The losses between and within modalities against hand-made numbers and loops."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jreid.losses import batch_hard_triplet
from jreid.losses.pairwise import unit_length
from jreid.losses.triplet import (
    cross_modality_triplet,
    multi_directional_triplet,
    multi_mode_triplet,
)

VISIBLE, INFRARED = jnp.array([[0.0], [1.0]]), jnp.array([[0.5], [3.0]])
TWO = jnp.array([0, 1])
NAMES = ("visible", "infrared", "derived_visible", "derived_infrared")
PAIRS = (("visible", "infrared"), ("visible", "derived_infrared"), ("infrared", "derived_visible"))


def one_anchor(anchor, own, candidates, identities, margin):
    distances = [np.linalg.norm(anchor - other) for other in candidates]
    positives = [d for d, i in zip(distances, identities, strict=True) if i == own]
    negatives = [d for d, i in zip(distances, identities, strict=True) if i != own]
    if not positives or not negatives:
        return 0.0
    return max(0.0, margin + max(positives) - min(negatives))


def brute_force(features, identity, directions, margin, reduce):
    """Equations 2 to 7 by loops; a direction from a modality to itself is its own loss."""
    total = 0.0
    for a, b in directions:
        terms = [
            one_anchor(anchor, own, features[b], identity[b], margin)
            for anchor, own in zip(features[a], identity[a], strict=True)
        ]
        total += reduce(terms)
    return total


def make(seed, identities=3, images=2) -> Any:
    """Features and identities of four modalities, rows in an order of their own in each."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(identities), images)
    identity = {name: rng.permutation(rows) for name in NAMES}
    features = {name: rng.normal(size=(len(rows), 3)).astype(np.float32) for name in NAMES}
    return features, identity


def test_each_direction_by_hand():
    # From visible: positives 0.5 and 2, negatives 3 and 0.5. From infrared: 0.5, 2 and 0.5, 3.
    forth = cross_modality_triplet(VISIBLE, INFRARED, TWO, TWO, 0.5, "sum")
    back = cross_modality_triplet(INFRARED, VISIBLE, TWO, TWO, 0.5, "sum")
    np.testing.assert_allclose([forth, back], [2.0, 0.5], rtol=1e-5)


@pytest.mark.parametrize(("reduce", "expected"), [("sum", 2.5), ("mean", 1.25)])
def test_both_directions_by_hand(reduce, expected):
    features, identity = {"v": VISIBLE, "i": INFRARED}, {"v": TWO, "i": TWO}
    loss = multi_directional_triplet(features, identity, [("i", "v")], 0.5, reduce)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(("reduce", "expected"), [("sum", 3.3), ("mean", 3.3 / 4)])
def test_within_a_modality_by_hand(reduce, expected):
    # On a line at 0, 1, 3, 7: positives 1, 1, 4, 4, negatives 3, 2, 2, 6, margin 1.3.
    features = {"v": jnp.array([[0.0], [1.0], [3.0], [7.0]]), "i": jnp.zeros((2, 1))}
    features["i"] = features["i"].at[1].set(5.0)
    identity = {"v": jnp.array([0, 0, 1, 1]), "i": TWO}
    loss = multi_mode_triplet(features, identity, 1.3, reduce)
    np.testing.assert_allclose(loss, expected + (0.3 if reduce == "sum" else 0.3 / 4), rtol=1e-5)


def test_far_negatives_cost_nothing():
    """Equation 5 as printed would find its nearest negative at distance 0 and cost a margin."""
    visible, infrared = jnp.array([[0.0], [10.0]]), jnp.array([[0.2], [10.2]])
    assert cross_modality_triplet(visible, infrared, TWO, TWO, 0.5) == 0
    assert cross_modality_triplet(visible, infrared, TWO, TWO, 9.7) > 0


def test_an_anchor_without_a_positive_or_a_negative_costs_nothing():
    features = jax.random.normal(jax.random.key(0), (2, 3))

    def loss(x, identity):
        own = jnp.arange(len(x))
        return cross_modality_triplet(x, features, own, identity, 9.0, "sum")

    value, gradient = jax.value_and_grad(loss)(features, jnp.array([2, 2]))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
    assert loss(features[:1], jnp.array([0, 0])) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 3), st.sampled_from(PAIRS))
def test_equal_to_loops(seed, identities, images, pair):
    features, identity = make(seed, identities, images)
    identity[pair[0]] = identity[pair[0]] + 1  # one identity has no positive, another no anchor
    pairs = PAIRS[: 1 + seed % 3]
    directions = [*pairs, *((b, a) for a, b in pairs)]
    for reduce, total in (("sum", np.sum), ("mean", np.mean)):
        loss = multi_directional_triplet(features, identity, pairs, 0.5, reduce)
        expected = brute_force(features, identity, directions, 0.5, total)
        np.testing.assert_allclose(loss, expected, rtol=2e-4, atol=1e-5)
        loss = multi_mode_triplet(features, identity, 0.3, reduce)
        itself = [(name, name) for name in NAMES]
        expected = brute_force(features, identity, itself, 0.3, total)
        np.testing.assert_allclose(loss, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_the_order_of_rows_means_nothing(together):
    features, identity = make(5)
    rng = np.random.default_rng(1)
    order = {name: rng.permutation(6) for name in NAMES}
    if together:
        order = dict.fromkeys(NAMES, order["visible"])
    moved = {name: features[name][order[name]] for name in NAMES}
    labels = {name: identity[name][order[name]] for name in NAMES}
    for loss in (
        lambda f, i: multi_directional_triplet(f, i, PAIRS),
        lambda f, i: multi_mode_triplet(f, i),
    ):
        value = loss(features, identity)
        assert value > 0
        np.testing.assert_allclose(loss(moved, labels), value, rtol=1e-5)


def test_a_modality_outside_the_pairs_means_nothing():
    features, identity = make(0)
    loss = multi_directional_triplet(features, identity, PAIRS[:1])
    features["derived_visible"] = features["derived_visible"] + 100
    assert multi_directional_triplet(features, identity, PAIRS[:1]) == loss
    assert multi_directional_triplet(features, identity, PAIRS) > loss
    assert multi_directional_triplet(features, identity, ()) == 0


def test_one_modality_is_the_ordinary_triplet():
    features, identity = make(2)
    one = {"visible": features["visible"]}
    np.testing.assert_allclose(
        multi_mode_triplet(one, identity, 0.4),
        batch_hard_triplet(features["visible"], jnp.asarray(identity["visible"]), 0.4),
    )


def test_gradients_are_finite_where_features_coincide():
    _, identity = make(0)

    def loss(features):
        features = {name: unit_length(x) for name, x in features.items()}
        mode = multi_mode_triplet(features, identity)
        return multi_directional_triplet(features, identity, PAIRS) + mode

    for value in (0.0, 1.0):
        gradient = jax.grad(loss)({name: jnp.full((6, 3), value) for name in NAMES})
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_gradients_agree_with_differences():
    features, identity = make(3)
    check_grads(
        lambda f: multi_directional_triplet(f, identity, PAIRS, 2.0, "sum"),
        (features,),
        order=1,
        modes=["rev"],
        rtol=0.05,
    )
