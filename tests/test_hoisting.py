"""Numbers of configs are arguments of compiled code, so that runs share it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from jreid.hoisting import Hoisted, hoistable

HERE = SingleDeviceSharding(jax.devices()[0])


def scaled_loss(weight):
    """A gradient step on a loss with a weight, as a `Hoisted` function of two arrays."""

    def step(x, y):
        value, gradient = jax.value_and_grad(lambda x: hoistable(weight) * ((x - y) ** 2).sum())(x)
        return {"x": x - gradient, "loss": value}

    return Hoisted(step, HERE, (HERE, HERE), donate=0, out_shardings=HERE)


def test_the_code_is_the_same_for_all_values_and_the_results_are_not():
    x, y = jnp.arange(3.0), jnp.ones(3)
    lowered = {scaled_loss(weight).lower(x, y).as_text() for weight in (0.25, 0.5)}
    assert len(lowered) == 1
    for weight in (0.25, 0.5):
        found = scaled_loss(weight)(jnp.arange(3.0), y)
        np.testing.assert_allclose(found["x"], x - 2 * weight * (x - y), rtol=1e-6)
        assert found["loss"] == pytest.approx(2 * weight)


def test_a_number_that_is_not_hoistable_is_in_the_code():
    def plain(weight):
        return Hoisted(lambda x: weight * x, HERE, (HERE,)).lower(jnp.ones(3)).as_text()

    assert plain(0.25) != plain(0.5)


def test_arrays_that_no_number_made_stay_in_the_code():
    """Random keys cannot be arguments, and XLA needs the values of indices."""
    key, columns = jax.random.key(3), np.array([2, 0])

    def draw(x):
        return x[columns] + hoistable(0.5) * jax.random.normal(key, (2,))

    function = Hoisted(draw, HERE, (HERE,))
    assert len(function.bind(jnp.arange(3.0))[1]) == 1
    np.testing.assert_allclose(function(jnp.arange(3.0)), draw(jnp.arange(3.0)), rtol=1e-6)


def test_a_nan_is_found_where_it_arises():
    step = Hoisted(lambda x: jnp.log(hoistable(-1.0) * x), HERE, (HERE,))
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        step(jnp.ones(2))


def test_nothing_is_traced_where_nothing_is_to_be_compiled():
    seen = []

    def observe(x):
        seen.append(isinstance(x, jax.core.Tracer))
        return x

    with jax.disable_jit():
        Hoisted(observe, HERE, (HERE,))(jnp.ones(2))
    assert seen == [False]


def test_arguments_of_other_shapes_are_traced_anew():
    step = scaled_loss(0.5)
    for rows in (3, 5):
        assert step(jnp.zeros(rows), jnp.ones(rows))["loss"] == pytest.approx(rows / 2)


def test_another_precision_of_products_is_traced_anew():
    function = Hoisted(lambda x: x @ x, HERE, (HERE,))
    x = jnp.ones((2, 2))
    assert "HIGHEST" not in function.lower(x).as_text()
    with jax.default_matmul_precision("highest"):
        assert "HIGHEST" in function.lower(x).as_text()
    assert "HIGHEST" not in function.lower(x).as_text()


def test_memory_of_the_donated_argument_is_used():
    text = scaled_loss(0.5).lower(jnp.zeros(3), jnp.ones(3)).as_text()
    assert text.count("tf.aliasing_output") == 1


def test_arrays_are_hoistable_as_they_are():
    assert hoistable(jnp.float32(2)) == 2
    assert jax.grad(lambda margin: 3 * hoistable(margin))(1.0) == 3
    assert hoistable(np.arange(3, dtype=np.int32)).dtype == jnp.int32
    assert hoistable(1).dtype == hoistable(0.5).dtype  # so that their programs are one
