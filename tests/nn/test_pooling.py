import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.nn.pooling import first_maximum, generalized_mean, global_average, global_max

MAP = jnp.array([[[[1.0, 0.0], [2.0, 0.0]], [[3.0, 0.0], [4.0, 8.0]]]])


def test_global_average_by_hand():
    np.testing.assert_allclose(global_average(MAP), [[2.5, 2.0]])


def test_global_max_by_hand():
    np.testing.assert_array_equal(global_max(MAP), [[4.0, 8.0]])
    assert global_max(jnp.ones((1, 2, 2, 1), jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_first_maximum_has_the_whole_gradient(axis):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (4, 5, 3)), jnp.float32)
    values, gradient = jax.vjp(lambda x: first_maximum(x, axis), x)
    np.testing.assert_array_equal(values, x.max(axis))
    (found,) = gradient(jnp.ones(values.shape))
    expected = np.zeros(x.shape)
    np.put_along_axis(expected, np.argmax(x, axis, keepdims=True), 1, axis)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pool", [global_average, global_max, generalized_mean])
def test_what_is_no_number_is_not_hidden(pool):
    assert np.isnan(pool(MAP.at[0, 0, 0, 1].set(jnp.nan))).tolist() == [[False, True]]


def test_generalized_mean_by_hand():
    want = [[(100 / 4) ** (1 / 3), (512 / 4) ** (1 / 3)]]
    np.testing.assert_allclose(generalized_mean(MAP), want, rtol=1e-6)


def test_power_one_is_the_average():
    np.testing.assert_allclose(generalized_mean(MAP, p=1.0), global_average(MAP), rtol=1e-6)


def test_epsilon_and_minimum_are_what_zeros_give():
    zeros = jnp.zeros((1, 2, 2, 1))
    np.testing.assert_allclose(generalized_mean(zeros), [[1e-4]], rtol=1e-5)
    np.testing.assert_allclose(
        generalized_mean(zeros, minimum=1e-6, epsilon=0.0), [[1e-6]], rtol=1e-5
    )


def test_what_lies_below_the_minimum_is_clamped():
    x = jnp.array([-5.0, 2.0]).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        generalized_mean(x, minimum=1e-6, epsilon=0.0), [[4 ** (1 / 3)]], rtol=1e-6
    )


@pytest.mark.parametrize(("minimum", "epsilon"), [(0.0, 1e-12), (1e-6, 0.0)])
@pytest.mark.parametrize("value", [0.0, -1.0, 1e-6, 3.0])
def test_gradients_are_finite(minimum, epsilon, value):
    def total(x):
        return jnp.sum(generalized_mean(x, minimum=minimum, epsilon=epsilon))

    assert np.isfinite(jax.grad(total)(jnp.full((2, 3, 2, 2), value))).all()


def test_zeros_without_floor_are_refused():
    with pytest.raises(ValueError, match="positive minimum or epsilon"):
        generalized_mean(MAP, minimum=0.0, epsilon=0.0)


def test_bfloat16_maps_are_pooled_in_float32():
    # 1 + 2^-9 over 512 positions is lost where the sum is kept in bfloat16
    x = jnp.ones((1, 16, 32, 1), jnp.bfloat16).at[0, 0, 0, 0].set(2.0)
    assert global_average(x).dtype == generalized_mean(x).dtype == jnp.float32
    np.testing.assert_allclose(global_average(x), [[1 + 1 / 512]], rtol=1e-6)
