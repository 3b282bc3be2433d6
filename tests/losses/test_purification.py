import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import discrepancy_margin, entropy, entropy_margin, modality_centroid_distance

EVEN = jnp.zeros((2, 4))  # entropy log 4
SURE = jnp.array([[100.0, 0, 0, 0]] * 2)  # entropy 0
LOG_4 = np.log(4)

# Two identities of two images; their centers are (1, 0) and (4, 4) apart: 1 and 5.
VISIBLE = jnp.array([[0.0, 0], [2, 0], [0, 0], [0, 0]])
INFRARED = jnp.array([[0.0, 1], [0, -1], [3, 3], [3, 5]])


def test_entropy():
    np.testing.assert_allclose(entropy(EVEN), [LOG_4] * 2, rtol=1e-6)
    np.testing.assert_allclose(entropy(SURE), [0, 0], atol=1e-6)
    half = jnp.array([[7.0, 7, -200, -200]])
    np.testing.assert_allclose(entropy(half), [np.log(2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("hinge", "surer", "less_sure"),
    [
        ("softplus", np.log1p(1 / 4), np.log1p(4)),
        ("relu", 0, 3),  # exp(log 4) - 1
    ],
)
def test_entropy_margin(hinge, surer, less_sure):
    np.testing.assert_allclose(entropy_margin(SURE, EVEN, hinge), surer, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(entropy_margin(EVEN, SURE, hinge), less_sure, rtol=1e-5)
    mixed = entropy_margin(jnp.stack([SURE[0], EVEN[0]]), jnp.stack([EVEN[0], SURE[0]]), hinge)
    np.testing.assert_allclose(mixed, (surer + less_sure) / 2, rtol=1e-5)


def test_centroid_distances():
    got = modality_centroid_distance(VISIBLE, INFRARED, 2)
    np.testing.assert_allclose(got, [1, 5], rtol=1e-6)
    # Within an identity and modality the order means nothing.
    swapped = modality_centroid_distance(VISIBLE[jnp.array([1, 0, 3, 2])], INFRARED, 2)
    np.testing.assert_allclose(swapped, got, rtol=1e-6)
    with pytest.raises(ValueError, match="4 rows cannot be divided into identities of 3"):
        modality_centroid_distance(VISIBLE, INFRARED, 3)


def test_epsilon_is_added_to_each_coordinate():
    # Centers of one identity at a distance of (1, -2).
    visible, infrared = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 2.0]])
    got = modality_centroid_distance(visible, infrared, 1, epsilon=0.5)
    np.testing.assert_allclose(got, [np.hypot(1.5, 1.5)], rtol=1e-6)
    far = (visible, infrared)
    same = (visible, visible)
    want = np.hypot(1.5, 1.5) - np.hypot(0.5, 0.5)
    np.testing.assert_allclose(discrepancy_margin(far, same, 1, "relu", 0.5), want, rtol=1e-6)


def test_discrepancy_margin():
    wide = (2 * VISIBLE, 2 * INFRARED)  # distances 2 and 10
    near = (VISIBLE, INFRARED)
    expected = np.mean([np.log1p(np.exp(1)), np.log1p(np.exp(5))])
    np.testing.assert_allclose(discrepancy_margin(wide, near, 2), expected, rtol=1e-5)
    np.testing.assert_allclose(discrepancy_margin(wide, near, 2, "relu"), 3, rtol=1e-5)
    np.testing.assert_allclose(discrepancy_margin(near, wide, 2, "relu"), 0)
    expected = np.mean([np.log1p(np.exp(-1)), np.log1p(np.exp(-5))])
    np.testing.assert_allclose(discrepancy_margin(near, wide, 2), expected, rtol=1e-5)


def test_gradients_lower_what_they_are_to_lower():
    gradient = jax.grad(lambda x: discrepancy_margin((x, INFRARED), (VISIBLE, INFRARED), 2))(
        2 * VISIBLE + 1
    )
    assert jnp.isfinite(gradient).all()
    same = jax.grad(lambda x: discrepancy_margin((x, x), (x, INFRARED), 2))(VISIBLE)
    assert jnp.isfinite(same).all()
    gradient = jax.grad(lambda x: entropy_margin(x, EVEN))(jnp.array([[1.0, 0, 0, 0]] * 2))
    assert (gradient[:, 0] < 0).all()
    assert (gradient[:, 1:] > 0).all()
