import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jreid.losses import center_cluster

# Centers (0, 0), (0.3, 0.4) and (6, 8); each row lies at 1, 0.5 and 2 from its own.
FEATURES = jnp.array([[-1.0, 0], [1, 0], [0.3, -0.1], [0.3, 0.9], [4, 8], [8, 8]])
IDENTITY = jnp.array([7, 7, 2, 2, 5, 5])
TO_CENTERS = (1 + 1 + 0.5 + 0.5 + 2 + 2) / 6

compiled = jax.jit(center_cluster)


def brute_force(features, identity, margin):
    """Equation 9 by loops over rows and pairs of centers, in float64."""
    features = np.asarray(features, np.float64)
    identity = np.asarray(identity)
    centers = {k: features[identity == k].mean(0) for k in set(identity.tolist())}
    near = [
        np.linalg.norm(f - centers[k]) for f, k in zip(features, identity.tolist(), strict=True)
    ]
    names = sorted(centers)
    hinges = [
        max(0.0, margin - np.linalg.norm(centers[j] - centers[k]))
        for i, j in enumerate(names)
        for k in names[i + 1 :]
    ]
    return np.mean(near) + (np.mean(hinges) if hinges else 0.0)


def test_by_hand():
    # Of the three pairs of centers one is nearer than 0.7: at 0.5.
    expected = TO_CENTERS + (0.7 - 0.5) / 3
    np.testing.assert_allclose(compiled(FEATURES, IDENTITY), expected, rtol=1e-6)
    # 1 / 3 of (12 - 0.5) + (12 - 10) + (12 - 9.5).
    np.testing.assert_allclose(compiled(FEATURES, IDENTITY, 12.0), TO_CENTERS + 16 / 3, 1e-6)


def test_the_order_of_rows_means_nothing():
    order = np.random.default_rng(0).permutation(6)
    got = compiled(FEATURES[order], IDENTITY[order])
    np.testing.assert_allclose(got, compiled(FEATURES, IDENTITY), rtol=1e-6)


def test_tight_and_distant_identities_cost_nothing_and_have_finite_gradients():
    features = jnp.array([[0.0, 0], [0, 0], [3, 0], [3, 0]])
    loss, gradient = jax.jit(jax.value_and_grad(center_cluster))(features, jnp.array([0, 0, 1, 1]))
    np.testing.assert_allclose(loss, 0, atol=2e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_gradients_are_finite_where_everything_coincides():
    loss, gradient = jax.jit(jax.value_and_grad(center_cluster))(jnp.ones((6, 3)), IDENTITY)
    np.testing.assert_allclose(loss, 0.7, atol=1e-5)
    assert jnp.isfinite(gradient).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_equals_brute_force_whatever_the_rows_of_an_identity(seed, identities):
    rng = np.random.default_rng(seed)
    identity = 3 * rng.integers(0, identities, 10)
    features = rng.normal(size=(10, 3)).astype(np.float32)
    expected = brute_force(features, identity, 1.5)
    np.testing.assert_allclose(compiled(features, identity, 1.5), expected, rtol=1e-5, atol=1e-5)


def test_long_features_with_a_large_mean_keep_their_distances():
    """As pooled maps behind a ReLU are: what all rows share must not eat the digits."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(8), 4)
    features = (5 + 0.002 * rng.normal(size=(32, 2000))).astype(np.float32)
    expected = brute_force(features, identity, 0.7)
    got = compiled(jnp.asarray(features), jnp.asarray(identity))
    np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_gradients_flow_through_the_centers():
    check_grads(lambda x: compiled(x, IDENTITY), (FEATURES,), order=1, modes=["rev"], rtol=0.02)
    # A pair at +-1: each pulls the other's center along, or the gradient would be +-1 / 2.
    pair = jnp.array([[-1.0], [1.0]])
    gradient_of = jax.jit(jax.grad(center_cluster))
    gradient = gradient_of(pair, jnp.array([0, 0]))
    np.testing.assert_allclose(gradient, [[-0.5], [0.5]], rtol=1e-6)
    lone = gradient_of(jnp.array([[0.0], [0.5]]), jnp.array([0, 1]))
    np.testing.assert_allclose(lone, [[1.0], [-1.0]], rtol=1e-6)


def test_groups_are_losses_of_their_own():
    identity = jnp.array([0, 0, 1, 1, 2, 2, 3, 3])
    features = jnp.asarray(np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32))
    halves = [center_cluster(features[i : i + 4], identity[i : i + 4], 3.0) for i in (0, 4)]
    np.testing.assert_allclose(center_cluster(features, identity, 3.0, 2), sum(halves), rtol=1e-6)
    assert abs(center_cluster(features, identity, 3.0) - sum(halves) / 2) > 1e-3
    with pytest.raises(ValueError, match="8 rows do not make 3 groups"):
        center_cluster(features, identity, 3.0, 3)
