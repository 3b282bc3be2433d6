import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.distributed.mesh import make_mesh, split
from jreid.nn import reverse_gradient
from jreid.nn.gradient_reversal import rising_strength

X = jnp.array([[1.5, -2.0], [0.25, 1e6], [-3.0, 0.0], [7.0, 1e-9]])


def task(x, strength):
    return (reverse_gradient(x, strength) ** 2).sum()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_pass_and_gradients_turn(dtype):
    x = X.astype(dtype)
    np.testing.assert_array_equal(reverse_gradient(x, 0.3), x)
    gradient = jax.grad(task)(x, 0.5)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, -x)  # -0.5 * 2 x


def test_a_traced_strength_changes_without_compiling_anew():
    gradient_of = jax.jit(jax.grad(task))
    for strength in (0.0, 0.5, 2.0):
        got = gradient_of(X, jnp.float32(strength))
        np.testing.assert_allclose(got, -2 * strength * X, rtol=1e-6)
    assert gradient_of._cache_size() == 1
    np.testing.assert_array_equal(jax.grad(task, argnums=1)(X, 0.5), 0)


def test_under_vmap_each_row_has_its_strength():
    strengths = jnp.arange(4.0)
    got = jax.vmap(jax.grad(task))(X, strengths)
    np.testing.assert_allclose(got, -2 * strengths[:, None] * X, rtol=1e-6)


def test_a_sharded_batch_stays_where_it_is():
    where = split(make_mesh())
    x = jax.device_put(X, where)
    gradient = jax.jit(jax.grad(task))(x, 0.5)
    np.testing.assert_array_equal(gradient, -X)
    assert gradient.sharding.is_equivalent_to(where, 2)


def test_forward_derivatives_turn_too():
    _, tangent = jax.jvp(lambda x: reverse_gradient(x, 0.5), (X,), (jnp.ones_like(X),))
    np.testing.assert_array_equal(tangent, -0.5)


def test_the_rising_strength():
    got = [float(rising_strength(jnp.float32(p))) for p in (0, 0.1, 1)]
    expected = [2 / (1 + np.exp(-10 * p)) - 1 for p in (0, 0.1, 1)]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
