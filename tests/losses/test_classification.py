import jax
import jax.numpy as jnp
import numpy as np

from jreid.losses import cross_entropy


def test_hand_made_numbers():
    logits = jnp.array([[0.0, 0.0], [jnp.log(3.0), 0.0]])
    # -ln(1/2) and -ln(1/4)
    expected = (np.log(2) + np.log(4)) / 2
    np.testing.assert_allclose(cross_entropy(logits, jnp.array([0, 1])), expected, rtol=1e-6)


def test_low_precision_logits_are_computed_in_float32():
    logits = jnp.array([[100.0, 99.0]], jnp.bfloat16)
    loss = cross_entropy(logits, jnp.array([0]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, np.log1p(np.exp(-1.0)), rtol=1e-5)


def test_gradient_is_probability_minus_one_hot():
    logits = jnp.array([[1.0, 2.0, 0.5]])
    gradient = jax.grad(cross_entropy)(logits, jnp.array([1]))
    expected = jax.nn.softmax(logits) - jnp.array([[0.0, 1.0, 0.0]])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
