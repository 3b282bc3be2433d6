import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import cosine_distances, euclidean_distances
from jreid.losses.pairwise import unit_length


def test_euclidean_by_hand():
    distances = euclidean_distances(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 2.0]]))
    np.testing.assert_allclose(distances, [[5.0, 2.0]], rtol=1e-6)


def test_cosine_by_hand_whatever_the_lengths():
    right = jnp.array([[3.0, 3.0], [0.0, 1.0], [-9.0, 0.0]])
    distances = cosine_distances(jnp.array([[2.0, 0.0]]), right)
    np.testing.assert_allclose(distances, [[1 - np.sqrt(0.5), 1.0, 2.0]], rtol=1e-6)


@pytest.mark.parametrize("distances", [cosine_distances, euclidean_distances])
def test_gradients_are_finite_where_rows_coincide(distances):
    for features in (jnp.zeros((2, 3)), jnp.ones((2, 3))):
        gradients = jax.grad(lambda x, y: distances(x, y).sum(), (0, 1))(features, features)
        assert all(jnp.isfinite(gradient).all() for gradient in gradients)


def test_unit_length():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(unit_length(x), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert jnp.isfinite(jax.jacobian(unit_length)(x)).all()
