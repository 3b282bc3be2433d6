import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.methods.idkl.purifier import InformationPurifier
from jreid.nn import generalized_mean, instance_norm

X = jnp.asarray(np.abs(np.random.default_rng(0).normal(size=(3, 4, 2, 32))).astype(np.float32))
FORMS = [("pooled", "plain"), ("per_pixel", "affine")]


@functools.cache
def purified(masks, norm):
    network = InformationPurifier(masks, norm)
    variables = network.init(jax.random.key(0), X, train=False)
    out, state = network.apply(variables, X, train=True, mutable=["batch_stats"])
    return variables, out, state


@pytest.mark.parametrize(("masks", "norm"), FORMS)
def test_equations_7_to_12(masks, norm):
    variables, out, state = purified(masks, norm)
    kernels = variables["params"]

    def mask(name, x):
        if masks == "pooled":
            x = generalized_mean(x, minimum=1e-6, epsilon=0.0)[:, None, None]
        squeeze, excite = (kernels[name][part]["kernel"] for part in ("squeeze", "excite"))
        assert squeeze.shape == (32, 2)
        return jax.nn.sigmoid(jnp.maximum(x @ squeeze, 0) @ excite)

    np.testing.assert_allclose(out.normalized, instance_norm(X), rtol=1e-5, atol=1e-6)
    enhancement = mask("enhancement_mask", X)
    reduction = mask("reduction_mask", out.normalized)
    shape = (3, 1, 1, 32) if masks == "pooled" else X.shape
    assert out.enhancement_mask.shape == out.reduction_mask.shape == shape
    np.testing.assert_allclose(out.enhancement_mask, enhancement, rtol=1e-5)
    np.testing.assert_allclose(out.reduction_mask, reduction, rtol=1e-5)
    np.testing.assert_allclose(out.enhanced, enhancement * X, rtol=1e-5)
    np.testing.assert_allclose(out.reduced, reduction * out.normalized, rtol=1e-4, atol=1e-6)
    both = enhancement * reduction * (X + out.normalized)
    np.testing.assert_allclose(out.map, both, rtol=1e-4, atol=1e-6)
    # Neither mask is idle, as that of an average of what is normalized would be.
    for mask in (out.enhancement_mask, out.reduction_mask):
        assert jnp.std(mask, axis=0).max() > 1e-3
    assert bool(state) == (norm == "affine")


def test_parameters_at_the_published_width():
    x = jnp.zeros((1, 24, 9, 2048))
    for (masks, norm), more in zip(FORMS, (0, 2 * 2048), strict=True):
        network = InformationPurifier(masks, norm)
        shapes = jax.eval_shape(lambda n=network: n.init(jax.random.key(0), x, train=False))
        count = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
        assert count == 4 * 2048 * 128 + more


@pytest.mark.parametrize(("masks", "norm"), FORMS)
def test_gradients_are_finite_for_flat_maps_and_dead_channels(masks, norm):
    network = InformationPurifier(masks, norm)
    variables, _, _ = purified(masks, norm)

    def loss(params, x):
        out, _ = network.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return sum((generalized_mean(y, minimum=1e-6, epsilon=0.0)).sum() for y in out[:4])

    for x in (jnp.zeros_like(X), jnp.ones_like(X), X.at[..., 0].set(0)):
        for gradient in jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(variables["params"], x)):
            assert jnp.isfinite(gradient).all()


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="no purifier with masks 'mean'"):
        InformationPurifier("mean").init(jax.random.key(0), X, train=False)
