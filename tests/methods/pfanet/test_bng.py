"""BNG and MMM: the specification's counts and checks, their equations, and their places."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from helpers.variables import count, filled

from jreid.methods.pfanet.bng import BNG, shuffle
from jreid.methods.pfanet.modality_alleviation import ModalityAlleviation, alleviate
from jreid.methods.pfanet.network import backbone
from jreid.nn.normalization import instance_norm

PLAIN = {
    "attention": "none",
    "bng": {"place": "stage"},
    "normalization": "none",
    "mmm": {"stages": (3, 4)},
}
X = jnp.asarray(np.random.default_rng(0).normal(1, 2, size=(2, 4, 3, 8)), jnp.float32)


def shapes_of(module, *inputs):
    return jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), *inputs)


def start(module, x=X):
    init = jax.jit(functools.partial(module.init, train=False))
    return jax.tree.map(np.array, init(jax.random.key(1), x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("channels", "parameters"),
    [(256, 411_200), (512, 1_641_600), (1024, 6_560_000), (2048, 26_227_200)],
)
def test_counts_of_bng(channels, parameters):
    x = jax.ShapeDtypeStruct((2, 4, 3, channels), jnp.float32)
    assert count(shapes_of(BNG(), x)["params"]) == parameters


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"attention": "bng"}, 34.84),
        pytest.param(
            {"attention": "bng", "bng": {"place": "stage", "reduction": 4}},
            139.3,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"attention": "bng", "bng": {"place": "block"}}, 125.8, marks=pytest.mark.slow
        ),
        ({"normalization": "mmm"}, 0.655_360),
    ],
)
def test_counts_in_a_resnet(options, millions):
    images = {"infrared": jax.ShapeDtypeStruct((2, 64, 32, 3), jnp.float32)}
    plain, more = (
        shapes_of(backbone(PLAIN | given, ("infrared",), jnp.float32), images)["params"]
        for given in ({}, options)
    )
    assert (count(more) - count(plain)) / 1e6 == pytest.approx(millions, rel=1e-3)
    assert {*flatten_dict(plain)} < {*flatten_dict(more)}  # published names stay


def gates(x, variables, channel_sigmoid=True):
    """BNG's first two steps in numpy, from the running statistics, which are 0 and 1."""
    x, p = np.asarray(x), variables["params"]
    gamma = np.abs(p["gate"]["scale"])
    normalized = x / np.sqrt(1 + 1e-5) * p["gate"]["scale"] + p["gate"]["bias"]
    x1 = x * sigmoid(gamma / gamma.sum() * normalized)
    hidden = np.maximum(x1 @ p["reduce"]["kernel"] + p["reduce"]["bias"], 0)
    scores = hidden @ p["expand"]["kernel"] + p["expand"]["bias"]
    return x1, x1 * (sigmoid(scores) if channel_sigmoid else scores)


@pytest.mark.parametrize("channel_sigmoid", [True, False])
def test_a_new_spatial_gate_is_one_half_everywhere(channel_sigmoid):
    module = BNG(reduction=4, channel_sigmoid=channel_sigmoid)
    variables = start(module)
    variables["params"]["gate"]["scale"] = np.linspace(-1, 2, 8, dtype=np.float32)
    variables["params"]["gate"]["bias"] = np.linspace(0, 1, 8, dtype=np.float32)
    _, x2 = gates(X, variables, channel_sigmoid)
    np.testing.assert_allclose(module.apply(variables, X, False), 0.5 * x2, rtol=1e-4, atol=1e-5)
    free = BNG(reduction=4, channel_sigmoid=channel_sigmoid, zero_init_last_bn=False)
    assert not np.allclose(free.apply(start(free), X, False), 0.5 * x2, atol=1e-3)


def test_the_gate_of_equation_9_as_printed_and_with_a_relu():
    variables = start(BNG(reduction=4))
    p = variables["params"]
    p["reduce"]["kernel"] *= 0
    p["expand"]["bias"] += 100.0 - p["expand"]["bias"]  # the channel gate is open
    p["reduce"]["bias"] *= 0
    gate = sigmoid(X / np.sqrt(1 + 1e-5) / 8)
    literal = BNG(reduction=4, nam_literal=True).apply(variables, X, False)
    np.testing.assert_allclose(literal, 0.5 * gate, rtol=1e-4, atol=1e-5)
    relu = BNG(reduction=4, nam_relu=True).apply(variables, X, False)
    np.testing.assert_allclose(relu, 0.5 * X * np.maximum(gate, 0.5), rtol=1e-4, atol=1e-5)


def test_no_gradient_passes_through_the_share_of_gamma():
    """If one did, gammas of equal share would have a gradient through their sum."""
    module = BNG(reduction=4)
    variables = start(module)

    def total(scale):
        params = {**variables["params"], "gate": {**variables["params"]["gate"], "scale": scale}}
        return module.apply({**variables, "params": params}, X, False)[..., 0].sum()

    # Channel 0 then depends on no other channel but through that sum.
    own = {
        **variables["params"],
        "reduce": jax.tree.map(jnp.zeros_like, variables["params"]["reduce"]),
    }
    variables["params"] = own
    gradient = jax.grad(total)(jnp.ones(8))
    assert abs(float(gradient[0])) > 1e-3
    np.testing.assert_allclose(gradient[1:], 0, atol=1e-7)


def test_groups_divide_the_convolutions_and_shuffle():
    module = BNG(reduction=2, groups=4)
    variables = start(module)
    assert variables["params"]["conv1"]["kernel"].shape == (7, 7, 2, 4)
    assert variables["params"]["conv2"]["kernel"].shape == (7, 7, 1, 8)
    assert module.apply(variables, X, False).shape == X.shape
    assert shuffle(jnp.arange(6.0)[None, None, None], 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ValueError, match="groups"):
        BNG(reduction=4, groups=4).init(jax.random.key(0), X, False)


def test_alleviation_is_the_identity_at_one_and_instance_norm_at_zero():
    np.testing.assert_array_equal(alleviate(X, jnp.ones((2, 8))), X)
    np.testing.assert_array_equal(alleviate(X, jnp.zeros((2, 8))), instance_norm(X))


def test_the_gate_of_batch_norm_is_not_rounded_to_bfloat16():
    module = BNG(reduction=4, dtype=jnp.bfloat16)
    x = X.astype(jnp.bfloat16)
    variables = filled(
        jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), x)
    )
    out, seen = module.apply(variables, x, False, capture_intermediates=True)
    assert out.dtype == jnp.bfloat16
    assert seen["intermediates"]["gate"]["__call__"][0].dtype == jnp.float32


def test_alleviation_by_hand():
    module = ModalityAlleviation(reduction=4)
    variables = filled(jax.eval_shape(module.init, jax.random.key(0), X))
    params = variables["params"]
    assert {path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()} == {
        "reduce/kernel": (8, 2), "expand/kernel": (2, 8)
    }  # fmt: skip
    pooled = X.mean((1, 2))
    mask = sigmoid(np.maximum(pooled @ params["reduce"]["kernel"], 0) @ params["expand"]["kernel"])
    mean, var = X.mean((1, 2), keepdims=True), X.var((1, 2), keepdims=True)
    share = mask[:, None, None]
    expected = share * X + (1 - share) * (X - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(module.apply(variables, X), expected, rtol=1e-4, atol=1e-5)
