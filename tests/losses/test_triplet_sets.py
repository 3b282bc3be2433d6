"""Triplets between two sets, by hand: both metrics, both readings of equations 14 and 15."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.triplet import generated_triplets, set_triplet

# On a line, so that distances are differences; identities 0, 0, 1.
IDENTITY = jnp.array([0, 0, 1])
GENERATED = jnp.array([[0.0], [1.0], [4.0]])
REAL = jnp.array([[0.5], [3.0], [9.0]])


def test_euclidean_by_hand():
    loss = set_triplet(GENERATED, REAL, REAL, IDENTITY, "euclidean", margin=7.0)
    # Hardest positives 3, 2, 5; hardest negatives 9, 8, 1: 1, 1, 11.
    assert float(loss) == pytest.approx((1 + 1 + 11) / 3, rel=1e-5)


def test_negatives_of_the_anchors_own_set():
    loss = set_triplet(GENERATED, REAL, GENERATED, IDENTITY, "euclidean", margin=0.0)
    # Negatives now at 4, 3, 3: 3 - 4, 2 - 3, 5 - 3.
    assert float(loss) == pytest.approx(2 / 3, rel=1e-5)


def test_cosine_by_hand_whatever_the_lengths():
    anchors = jnp.array([[2.0, 0.0], [0.0, 5.0]])
    candidates = jnp.array([[3.0, 3.0], [0.0, 1.0]])
    loss = set_triplet(anchors, candidates, candidates, jnp.array([0, 1]), "cosine", margin=1.0)
    near = 1 - np.sqrt(0.5)
    # Anchor 0: positive at 45 degrees, negative at 90. Anchor 1: positive at 0, negative at 45.
    assert float(loss) == pytest.approx(((1 + near - 1) + (1 + 0 - near)) / 2, rel=1e-5)


def test_both_readings_of_equation_15():
    options = IDENTITY, "euclidean", 0.0
    back = set_triplet(REAL, GENERATED, GENERATED, *options)
    other = set_triplet(GENERATED, REAL, REAL, *options)
    printed = set_triplet(GENERATED, REAL, GENERATED, *options)
    assert float(other) != pytest.approx(float(printed))
    both = {negatives: generated_triplets(GENERATED, REAL, *options, negatives)
            for negatives in ("other", "generated")}  # fmt: skip
    assert float(both["other"]) == pytest.approx(float(other + back))
    assert float(both["generated"]) == pytest.approx(float(printed + back))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_gradients_are_finite_where_points_coincide(metric):
    features = jnp.zeros((4, 3)).at[2].set(1.0)
    identity = jnp.array([0, 0, 1, 1])
    gradients = jax.grad(lambda x: generated_triplets(x, features, identity, metric))(features)
    assert jnp.isfinite(gradients).all()


def test_without_negatives_it_is_zero():
    assert float(set_triplet(REAL, REAL, REAL, jnp.zeros(3, int))) == 0


def test_weighted_by_hand_without_a_margin():
    anchors, candidates = jnp.array([[0.0], [4.0]]), jnp.array([[1.0], [6.0]])
    options = jnp.array([0, 1]), "euclidean", 99.0, "weighted_regularized"
    # One positive and one negative each: at 1 and 6, and at 2 and 3.
    expected = (np.log1p(np.exp(1 - 6)) + np.log1p(np.exp(2 - 3))) / 2
    assert float(set_triplet(anchors, candidates, candidates, *options)) == pytest.approx(expected)
    equal = generated_triplets(REAL * 0, REAL * 0, IDENTITY, kind="weighted_regularized")
    assert float(equal) == pytest.approx(2 * np.log(2), rel=1e-4)
    with pytest.raises(ValueError, match="kind"):
        set_triplet(REAL, REAL, REAL, IDENTITY, kind="hardest")
