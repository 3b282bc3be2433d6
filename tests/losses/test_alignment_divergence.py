import jax
import jax.numpy as jnp
import numpy as np

from jreid.losses import kl_divergence

P = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
Q = np.array([[0.25, 0.5, 0.25], [0.1, 0.2, 0.7]])
FORWARD = 0.25 * np.log(2)  # 0.5 log 2 - 0.25 log 2


def test_by_hand():
    log_p, log_q = jnp.log(P), jnp.log(Q)
    np.testing.assert_allclose(kl_divergence(log_p, log_q, reduce="sum"), FORWARD, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(log_p, log_q), FORWARD / 2, rtol=1e-5)
    both = kl_divergence(log_p, log_q, symmetric=True, reduce="sum")
    np.testing.assert_allclose(both, 2 * FORWARD, rtol=1e-5)


def test_direction():
    p, q = jnp.log(jnp.array([[0.9, 0.1]])), jnp.log(jnp.array([[0.5, 0.5]]))
    forward = 0.9 * np.log(1.8) + 0.1 * np.log(0.2)
    backward = 0.5 * np.log(1 / 1.8) + 0.5 * np.log(5)
    np.testing.assert_allclose(kl_divergence(p, q), forward, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(q, p), backward, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(p, q, symmetric=True), forward + backward, rtol=1e-5)


def test_entries_that_both_leave_out_have_no_part_and_finite_gradients():
    logits = jnp.array([[1.0, 2.0, -1e30], [0.0, 5.0, -1e30]])

    def divergence(x):
        return kl_divergence(jax.nn.log_softmax(x), jax.nn.log_softmax(2 * logits))

    value, gradient = jax.value_and_grad(divergence)(logits)
    two = [jax.nn.log_softmax(x[:, :2]) for x in (logits, 2 * logits)]
    np.testing.assert_allclose(value, kl_divergence(*two), rtol=1e-6)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient[:, :2]).min() > 0
