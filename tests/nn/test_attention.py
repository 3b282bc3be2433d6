import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.nn.attention import NonLocal
from jreid.nn.torch_layout import Layout
from jreid.weights.torch import convert

LAYOUT = Layout(((r"^W/", "W.0/"), (r"^norm/", "W.1/"), (r"^g/", "g.0/")))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_starts_as_the_identity():
    x = normal(2, 4, 3, 8)
    variables = NonLocal().init(jax.random.key(0), jnp.asarray(x), True)
    np.testing.assert_array_equal(NonLocal().apply(variables, jnp.asarray(x), False), x)


def test_against_the_whole_affinity_matrix():
    x = normal(2, 4, 3, 6)
    block = NonLocal(reduced_channels=3)
    params = jax.tree.map(
        lambda p: normal(*p.shape), block.init(jax.random.key(0), jnp.asarray(x), True)
    )
    params = params["params"]
    statistics = {"norm": {"mean": jnp.zeros(6), "var": jnp.ones(6)}}
    got = block.apply({"params": params, "batch_stats": statistics}, jnp.asarray(x), False)

    def project(name, v):
        return v @ params[name]["kernel"] + params[name]["bias"]

    for image, result in zip(x.reshape(2, 12, 6), np.asarray(got).reshape(2, 12, 6), strict=True):
        theta, phi, g = (project(name, image) for name in ("theta", "phi", "g"))
        mixed = project("W", (theta @ phi.T / 12) @ g) / np.sqrt(1 + 1e-5)
        want = image + mixed * params["norm"]["scale"] + params["norm"]["bias"]
        np.testing.assert_allclose(result, want, rtol=1e-5, atol=1e-5)


def test_parameters_of_agw_count_28687():
    def count(channels):
        x = jnp.zeros((1, 2, 2, channels))
        shapes = jax.eval_shape(lambda k: NonLocal().init(k, x, True), jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))

    assert 2 * count(512) + 3 * count(1024) == 28_687


@pytest.mark.parametrize("train", [False, True])
def test_equals_torch(reference, train):
    x = normal(3, 4, 2, 8)
    theirs = reference.randomize(reference.NonLocal(8)).train(train)
    variables = NonLocal().init(jax.random.key(0), jnp.asarray(x), True)
    variables = convert(reference.arrays(theirs), variables, LAYOUT)
    want = reference.to_nhwc(theirs(reference.to_nchw(x)))
    got, updates = NonLocal().apply(variables, jnp.asarray(x), train, mutable=["batch_stats"])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    after = convert(reference.arrays(theirs), variables, LAYOUT)["batch_stats"]
    jax.tree.map(
        lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6),
        updates["batch_stats"],
        after,
    )
