"""The readings of mutual prediction against hand-made numbers, and where their gradients go."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import kl_detach, kl_ema, specific_ce, swap_ce, swap_ce_joint
from jreid.losses.mutual_prediction import exponential_average

# One image of each modality and two identities. With identity matrices the features are logits.
# The visible image is of identity 0 by three to one, the infrared one by one to three.
LN3 = float(np.log(3))
FEATURES = {"visible": jnp.array([[LN3, 0.0]]), "infrared": jnp.array([[0.0, LN3]])}
SAME, SWAPPED = jnp.eye(2), jnp.eye(2)[::-1]
ZERO = jnp.array([0])
# W_V doubles its logits, W_I confuses the two identities.
CLASSIFIERS = {"visible": 2 * SAME, "infrared": SWAPPED}


def features_of(rows=6) -> Any:
    keys = jax.random.split(jax.random.key(0), 4)
    names = ("visible", "infrared")
    values = {
        name: jax.random.normal(key, (rows, 4)) for name, key in zip(names, keys, strict=False)
    }
    weights = {
        name: jax.random.normal(key, (4, 3)) for name, key in zip(names, keys[2:], strict=True)
    }
    return values, weights, jnp.arange(rows) % 3


def test_specific_by_hand():
    # W_V on visible: odds nine to one. W_I on infrared: three to one.
    want = -np.log(9 / 10) - np.log(3 / 4)
    np.testing.assert_allclose(specific_ce(FEATURES, CLASSIFIERS, ZERO), want, rtol=1e-6)


@pytest.mark.parametrize("loss", [swap_ce, swap_ce_joint])
def test_swapped_by_hand(loss):
    # W_I on visible: one to three. W_V on infrared: one to nine.
    want = -np.log(1 / 4) - np.log(1 / 10)
    np.testing.assert_allclose(loss(FEATURES, CLASSIFIERS, ZERO), want, rtol=1e-6)


def kl(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


def test_divergences_of_classifiers_by_hand():
    visible = {"own": (0.9, 0.1), "other": (0.25, 0.75)}
    infrared = {"own": (0.75, 0.25), "other": (0.1, 0.9)}
    # The own side comes first, a mean over both modalities' rows.
    want = (kl(visible["own"], visible["other"]) + kl(infrared["own"], infrared["other"])) / 2
    got = kl_ema(FEATURES, CLASSIFIERS, CLASSIFIERS)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    # The other's side comes first, a sum over modalities.
    want = kl(visible["other"], visible["own"]) + kl(infrared["other"], infrared["own"])
    np.testing.assert_allclose(kl_detach(FEATURES, CLASSIFIERS), want, rtol=1e-5)


def test_classifiers_that_agree_have_no_divergence():
    values, weights, _ = features_of()
    equal = {name: weights["visible"] for name in weights}
    np.testing.assert_allclose(kl_detach(values, equal), 0, atol=1e-6)
    np.testing.assert_allclose(kl_ema(values, equal, equal), 0, atol=1e-6)


def gradients(loss) -> Any:
    """Of the features, and of each modality's classifier."""
    values, weights, identity = features_of()
    return jax.jit(jax.grad(lambda v, w: loss(v, w, identity), argnums=(0, 1)))(values, weights)


READINGS = {
    "specific_ce": specific_ce,
    "swap_ce": swap_ce,
    "swap_ce_joint": swap_ce_joint,
    "kl_ema": lambda v, w, identity: kl_ema(v, w, {name: 0.5 * x for name, x in w.items()}),
    "kl_detach": lambda v, w, identity: kl_detach(v, w),
}


@pytest.mark.parametrize("name", READINGS)
def test_classifiers_that_only_judge_have_no_gradient(name):
    of_features, of_classifiers = gradients(READINGS[name])
    for leaf in jax.tree.leaves(of_features):
        assert jnp.isfinite(leaf).all()
        assert jnp.abs(leaf).max() > 1e-3
    for leaf in jax.tree.leaves(of_classifiers):
        if name == "swap_ce":
            np.testing.assert_array_equal(leaf, 0)
        else:
            assert jnp.abs(leaf).max() > 1e-3


def test_the_side_that_is_given_has_no_gradient():
    values, weights, _ = features_of()
    of_averages = jax.grad(lambda a: kl_ema(values, weights, a))(weights)
    for leaf in jax.tree.leaves(of_averages):
        np.testing.assert_array_equal(leaf, 0)
    # With equal rows of one modality only, its own classifier alone is changed.
    still = {**values, "infrared": jnp.zeros((6, 4))}
    of_classifiers = jax.grad(lambda w: kl_detach(still, w))(weights)
    assert jnp.abs(of_classifiers["visible"]).max() > 1e-3
    np.testing.assert_array_equal(of_classifiers["infrared"], 0)


def test_predictions_may_be_of_more_rows_than_features():
    values, weights, identity = features_of()

    def twice(weights, features):
        return jnp.repeat(features @ weights, 2, axis=0)

    got = swap_ce(values, weights, jnp.repeat(identity, 2), twice)
    np.testing.assert_allclose(got, swap_ce(values, weights, identity), rtol=1e-6)


def test_exponential_average_by_hand():
    average = {"W": jnp.array([1.0, 10.0])}
    average = exponential_average(average, {"W": jnp.array([2.0, 0.0])}, 0.2)
    np.testing.assert_allclose(average["W"], [1.2, 8.0], rtol=1e-6)
    average = exponential_average(average, {"W": jnp.array([2.0, 0.0])}, 0.2)
    np.testing.assert_allclose(average["W"], [1.36, 6.4], rtol=1e-6)
