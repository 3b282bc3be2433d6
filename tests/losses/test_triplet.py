import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jreid.losses import batch_hard_triplet, weighted_triplet
from jreid.losses.triplet import TRIPLETS, triplet

LINE = jnp.array([[0.0], [1.0], [3.0], [7.0]])
PAIRS = jnp.array([0, 0, 1, 1])


def brute_force_batch_hard(features, identity, margin):
    """For each anchor, all positives and negatives by loops."""
    terms = []
    for anchor, own in zip(features, identity, strict=True):
        distances = [np.linalg.norm(anchor - other) for other in features]
        positive = max(d for d, i in zip(distances, identity, strict=True) if i == own)
        negative = min(d for d, i in zip(distances, identity, strict=True) if i != own)
        terms.append(max(0.0, positive - negative + margin))
    return np.mean(terms)


def brute_force_weighted(features, identity):
    terms = []
    for anchor, own in zip(features, identity, strict=True):
        distances = np.array([np.linalg.norm(anchor - other) for other in features])
        same = identity == own
        far = np.exp(distances[same]) / np.exp(distances[same]).sum() @ distances[same]
        near = np.exp(-distances[~same]) / np.exp(-distances[~same]).sum() @ distances[~same]
        terms.append(np.log1p(np.exp(far - near)))
    return np.mean(terms)


def brute_force_released(features, identity):
    """AGW's released code: exponentials of the negatives are not shifted, 1e-6 beside their sum."""
    terms = []
    for anchor, own in zip(features, identity, strict=True):
        distances = np.array([np.linalg.norm(anchor - other) for other in features])
        positives, negatives = distances[identity == own], distances[identity != own]
        far, near = np.exp(positives - positives.max()), np.exp(-negatives)
        gap = far / (far.sum() + 1e-6) @ positives - near / (near.sum() + 1e-6) @ negatives
        terms.append(np.logaddexp(0, gap))
    return np.mean(terms)


@pytest.mark.parametrize("scale", [1.0, 8.0, 12.0])
def test_the_released_weights_vanish_far_away(scale):
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(4), 3)
    features = scale * rng.normal(size=(12, 3)).astype(np.float32)
    want = brute_force_released(features, identity)
    got = weighted_triplet(features, jnp.asarray(identity), released=True)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert abs(got - weighted_triplet(features, jnp.asarray(identity))) > (0.5 if scale > 10 else 0)


def test_batch_hard_by_hand():
    # Hardest positives 1, 1, 4, 4; hardest negatives 3, 2, 2, 6; margin 0.5.
    expected = (0 + 0 + 2.5 + 0) / 4
    np.testing.assert_allclose(batch_hard_triplet(LINE, PAIRS, 0.5), expected, rtol=1e-5)


def test_far_negatives_cost_nothing():
    features = jnp.array([[0.0], [0.1], [10.0], [10.1]])
    assert batch_hard_triplet(features, PAIRS, 0.3) == 0


batch_hard = jax.jit(lambda features, identity: batch_hard_triplet(features, identity, 0.3))
weighted = jax.jit(weighted_triplet)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(2, 4))
def test_both_equal_brute_force_in_any_row_order(seed, identities, images):
    rng = np.random.default_rng(seed)
    identity = rng.permutation(np.repeat(np.arange(identities), images))
    features = rng.normal(size=(len(identity), 3)).astype(np.float32)
    for loss, oracle in (
        (batch_hard, brute_force_batch_hard(features, identity, 0.3)),
        (weighted, brute_force_weighted(features, identity)),
    ):
        np.testing.assert_allclose(loss(features, identity), oracle, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TRIPLETS)
def test_gradients_are_finite_where_features_coincide(kind):
    features = jnp.ones((4, 3))
    gradient = jax.grad(lambda x: triplet(kind, x, PAIRS, 0.3))(features)
    assert jnp.isfinite(gradient).all()


def test_gradients_agree_with_differences():
    features = jax.random.normal(jax.random.key(0), (6, 4))
    identity = jnp.array([0, 0, 1, 1, 2, 2])
    check_grads(
        lambda x: weighted_triplet(x, identity), (features,), order=1, modes=["rev"], rtol=0.05
    )


def test_weighted_triplet_equals_the_formula_in_pytorch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(8, 5)).astype(np.float32), requires_grad=True)
    identity = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = identity[:, None] == identity[None, :]
    infinite = torch.tensor(float("inf"))
    far = torch.softmax(torch.where(same, distances, -infinite), 1)
    near = torch.softmax(torch.where(same, -infinite, -distances), 1)
    expected = torch.nn.functional.softplus((far * distances).sum(1) - (near * distances).sum(1))
    expected.mean().backward()
    loss, gradient = jax.value_and_grad(weighted_triplet)(
        jnp.asarray(x.detach().numpy()), jnp.asarray(identity.numpy())
    )
    np.testing.assert_allclose(loss, expected.mean().item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-5)
