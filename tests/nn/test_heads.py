import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.nn.heads import (
    BatchNormNeck,
    BottleneckClassifier,
    Classifier,
    Embedder,
    FeatureClassifier,
)


def test_neck_has_a_scale_near_one_and_no_bias_to_learn():
    variables = BatchNormNeck().init(jax.random.key(0), jnp.zeros((2, 4096)), True)
    assert set(variables["params"]) == {"scale"}
    scale = np.asarray(variables["params"]["scale"])
    np.testing.assert_allclose([scale.mean(), scale.std()], [1.0, 0.01], atol=5e-4)
    np.testing.assert_array_equal(variables["batch_stats"]["bias"], np.zeros(4096))


def test_training_leaves_the_necks_bias():
    x = jax.random.normal(jax.random.key(1), (6, 3)) + 5
    variables = BatchNormNeck().init(jax.random.key(0), x, True)
    statistics = variables["batch_stats"] | {"bias": jnp.array([1.0, 2.0, 3.0])}
    y, updates = BatchNormNeck().apply(
        {"params": variables["params"], "batch_stats": statistics}, x, True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y.mean(0), [1.0, 2.0, 3.0], atol=1e-5)
    np.testing.assert_array_equal(updates["batch_stats"]["bias"], [1.0, 2.0, 3.0])
    assert np.all(updates["batch_stats"]["mean"] > 0.1)


def test_neck_evaluates_by_its_running_statistics():
    variables = {
        "params": {"scale": jnp.array([3.0])},
        "batch_stats": {"mean": jnp.ones(1), "var": jnp.full(1, 4.0), "bias": jnp.full(1, 0.5)},
    }
    y = BatchNormNeck().apply(variables, jnp.array([[5.0]]), False)
    np.testing.assert_allclose(y, [[6.5]], rtol=1e-5)


def test_classifier_is_a_small_matrix():
    x = jax.random.normal(jax.random.key(1), (2, 256), jnp.bfloat16)
    variables = Classifier(500).init(jax.random.key(0), x)
    assert [leaf.shape for leaf in jax.tree.leaves(variables)] == [(256, 500)]
    kernel = np.asarray(variables["params"]["kernel"])
    np.testing.assert_allclose([kernel.mean(), kernel.std()], [0, 0.001], atol=2e-5)
    logits = Classifier(500).apply(variables, x)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, np.asarray(x, np.float32) @ kernel, atol=1e-6)


def test_a_classifier_for_each_feature():
    features = [jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[5.0], [6.0]])]
    kernels = ([[1.0, 0.0, 10.0], [0.0, 1.0, 10.0]], [[1.0, 2.0, 3.0]])
    params = {f"classifier_{i}": {"kernel": jnp.array(kernel)} for i, kernel in enumerate(kernels)}
    got = FeatureClassifier(3).apply({"params": params}, features)
    # Image by image, and each by both features.
    np.testing.assert_allclose(got, [[1, 2, 30], [5, 10, 15], [3, 4, 70], [6, 12, 18]])


def test_a_hidden_layer_before_each_classifier():
    features = [jnp.array([[1.0, 2.0], [6.0, 4.0]])]
    params = {
        "hidden_0": {"kernel": jnp.array([[-1.0], [1.0]])},
        "classifier_0": {"kernel": jnp.array([[1.0, 2.0, 3.0]])},
    }
    got = FeatureClassifier(3, hidden=1).apply({"params": params}, features)
    # 2 - 1, and 4 - 6, which the ReLU takes away.
    np.testing.assert_allclose(got, [[1, 2, 3], [0, 0, 0]])


def bottleneck(**options):
    """A classifier of two numbers into -3 x, which batch norm leaves, into itself and minus it."""
    module = BottleneckClassifier(identities=2, width=1, **options)
    params = {
        "reduce": {"linear": {"kernel": jnp.array([[-3.0], [0.0]]), "bias": jnp.zeros(1)}},
        "norm": {"scale": jnp.full(1, np.sqrt(1 + 1e-5)), "bias": jnp.zeros(1)},
        "logits": {"linear": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.array([0.5, 0.0])}},
    }
    statistics = {"norm": {"mean": jnp.zeros(1), "var": jnp.ones(1)}}
    return module, {"params": params, "batch_stats": statistics}


def test_bottleneck_classifier_by_hand():
    x = jnp.array([[1.0, 7.0], [-2.0, 7.0]])
    for activation, negative in (("relu", 0.0), ("leaky_relu", -0.3)):
        module, variables = bottleneck(activation=activation)
        logits = module.apply(variables, x, False)
        expected = [[negative + 0.5, -negative], [6.5, -6.0]]
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_bottleneck_classifier_drops_where_it_is_reported():
    x, key = jnp.full((64, 2), -1.0).at[0].set(0.0), {"dropout": jax.random.key(0)}
    logits = {}
    for place in ("input", "bottleneck"):
        module, variables = bottleneck(dropout_place=place)
        values, _ = module.apply(variables, x, True, rngs=key, mutable=["batch_stats"])
        logits[place] = np.asarray(values)[1:, 1]
    # Equal rows: half is dropped before the norm, or after it, where what is left is doubled.
    for place in logits:
        assert len(np.unique(logits[place].round(4))) == 2, place
    assert 0.3 < np.mean(logits["bottleneck"] == 0) < 0.7
    assert np.abs(logits["input"]).max() != pytest.approx(np.abs(logits["bottleneck"]).max())


def test_an_embedder_starts_as_pytorchs_linear_layer_with_no_bias():
    params = Embedder(4).init(jax.random.key(0), jnp.zeros((1, 10_000)))["params"]["linear"]
    np.testing.assert_array_equal(params["bias"], np.zeros(4))
    assert 0.0099 < np.abs(params["kernel"]).max() <= 0.01
