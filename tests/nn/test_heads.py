import jax
import jax.numpy as jnp
import numpy as np

from jreid.nn.heads import BatchNormNeck, Classifier, FeatureClassifier


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
