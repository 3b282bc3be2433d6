import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.methods.pfanet.heads import BottleneckClassifier, Embedder


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
