"""The hetero-center triplet loss against hand-made numbers and loops."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jreid.losses import hetero_center_triplet

# Centers: identity 0 at 1 (visible) and 3 (infrared), identity 1 at 4 and 10.
LINE = jnp.array([[0.0], [2.0], [3.0], [4.0], [9.0], [11.0]])
IDENTITY, MODALITY = jnp.array([0, 0, 0, 1, 1, 1]), jnp.array([0, 0, 1, 0, 1, 1])

run = jax.jit(hetero_center_triplet)


def brute_force(features, identity, modality, margin):
    groups = sorted({*zip(identity.tolist(), modality.tolist(), strict=True)})
    centers = {
        (i, m): features[(identity == i) & (modality == m)].mean(0, dtype=float) for i, m in groups
    }
    terms = []
    for i, m in groups:
        distances = {
            (j, k): np.linalg.norm(centers[i, m] - center) for (j, k), center in centers.items()
        }
        own = max([d for (j, k), d in distances.items() if j == i and k != m], default=0.0)
        nearest = min([d for (j, _), d in distances.items() if j != i], default=np.inf)
        terms.append(max(0.0, margin + own - nearest))
    return np.mean(terms)


def test_by_hand():
    # Own distances 2, 2, 6, 6; nearest others 3, 1, 1, 7.
    want = (0 + 1.5 + 5.5 + 0) / 4
    got = run(LINE, IDENTITY, MODALITY, 0.5)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_equals_brute_force_in_any_row_order(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(12, 3)).astype(np.float32)
    identity, modality = rng.integers(0, 3, 12), rng.integers(0, 2, 12)
    want = brute_force(features, identity, modality, 0.3)
    got = run(features, identity, modality, 0.3)
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-5)


def test_gradients_are_finite_where_features_coincide():
    gradient_of = jax.jit(jax.grad(lambda x: hetero_center_triplet(x, IDENTITY, MODALITY)))
    gradient = gradient_of(jnp.ones((6, 2)))
    assert jnp.isfinite(gradient).all()
