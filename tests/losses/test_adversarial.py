"""Adversarial, cycle and collapse measures against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.adversarial import (
    brightness_correlation,
    cycle_loss,
    discriminator_loss,
    real_or_fake,
    relative_variation,
)


def test_lsgan_by_hand():
    logits = jnp.array([[1.0, 3.0], [0.0, -1.0]])
    assert float(real_or_fake(logits, True)) == pytest.approx((0 + 4 + 1 + 4) / 4)
    assert float(real_or_fake(logits, False)) == pytest.approx((1 + 9 + 0 + 1) / 4)


def test_log_form_by_hand():
    """The logits ln 3 and 0 are probabilities of 3/4 and 1/2."""
    logits = jnp.log(jnp.array([3.0, 1.0]))
    real = -(np.log(3 / 4) + np.log(1 / 2)) / 2
    fake = -(np.log(1 / 4) + np.log(1 / 2)) / 2
    assert float(real_or_fake(logits, True, "log")) == pytest.approx(real, rel=1e-6)
    assert float(real_or_fake(logits, False, "log")) == pytest.approx(fake, rel=1e-6)


def test_log_form_is_finite_where_the_discriminator_is_certain():
    value, gradient = jax.value_and_grad(lambda x: real_or_fake(x, True, "log"))(jnp.array([-1e4]))
    assert float(value) == pytest.approx(1e4)
    assert float(gradient[0]) == pytest.approx(-1.0)


def test_fake_sets_count_equally_and_half():
    real, fakes = jnp.array([2.0]), [jnp.array([1.0]), jnp.array([3.0]), jnp.array([0.0])]
    # Real is 1 away from 1; the three sets are 1, 9 and 0.
    assert float(discriminator_loss(real, fakes)) == pytest.approx((1 + 10 / 3) / 2)


def test_cycle_is_the_sum_of_two_mean_absolute_differences():
    visible, infrared = jnp.zeros((2, 1, 2, 3)), jnp.ones((1, 1, 2, 3))
    again = visible.at[0, 0, 0, 0].set(-6.0)
    assert float(cycle_loss(visible, again, infrared, 0.75 * infrared)) == pytest.approx(0.5 + 0.25)


def test_variation_is_one_of_the_like_and_zero_of_the_same():
    real = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 2, 3)), jnp.float32)
    assert float(relative_variation(real, real)) == pytest.approx(1.0)
    assert float(relative_variation(real / 2, real)) == pytest.approx(0.25)
    same = jnp.repeat(real[:1], 6, axis=0)
    assert float(relative_variation(same, real)) == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(relative_variation(real, same))


def test_brightness_correlates_with_the_like_and_against_the_negative():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, 2, 3)).astype(np.float32)
    assert float(brightness_correlation(images / 2 + 0.1, images)) == pytest.approx(1.0, abs=1e-6)
    assert float(brightness_correlation(-images, images)) == pytest.approx(-1.0, abs=1e-6)
    mixed = np.concatenate([images[:1], -images[1:]])
    assert float(brightness_correlation(mixed, images)) == pytest.approx(-1 / 3, abs=1e-6)
    assert float(brightness_correlation(np.zeros_like(images), images)) == 0
