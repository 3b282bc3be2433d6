"""What JAX's operations are in ONNX: onnxruntime computes what JAX computes."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from jax import lax

from jreid.errors import InputError
from jreid.export.onnx import Reader, write
from jreid.export.onnx_operators import OPERATORS


def kernel(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def convolution(x, shape, **options):
    options = {"window_strides": (1, 1), "padding": [(1, 1), (0, 2)]} | options
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel(*shape).astype(x.dtype), dimension_numbers=numbers, **options
    )


SHIFT = kernel(1, 1, 1, 5)
# Each takes float32 [N, 6, 4, 3].
FUNCTIONS = {
    "activations": lambda x: jax.nn.sigmoid(x) + jnp.tanh(x) + jax.nn.relu(x) + lax.erf(x),
    "powers": lambda x: jnp.abs(x) ** 1.7 + x**3 + lax.integer_pow(x + 9, -2) + lax.square(x),
    "roots": lambda x: lax.rsqrt(x * x + 1) + jnp.sqrt(jnp.abs(x)) + jnp.log(jnp.exp(x) + 1),
    "rounding": lambda x: jnp.floor(x) + jnp.ceil(3 * x) + jnp.sign(-x) + jnp.sin(x) - jnp.cos(x),
    "choices": lambda x: jnp.where((x > 0.1) & (x <= 1) | (x < -1), jnp.clip(x, -0.5, 0.5), x / 3),
    "more choices": lambda x: jnp.where((x >= 0) == (x != 1), jnp.maximum(x, 0.3), -x),
    "negation": lambda x: jnp.where(~((x > 0) | (x == 0)), jnp.minimum(x, 0.3), 1 - x),
    "integers": lambda x: ((x * 100).astype(jnp.int32) // 7 + x.astype(jnp.int32) % 3) * 1.0,
    "variance": lambda x: (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True),
    "extremes": lambda x: x.max((1, 2)) - x.min((1, 2)),
    "products": lambda x: jnp.einsum("nhwc,nhvc->nhwv", x, x) @ kernel(4, 5),
    "attention": lambda x: jnp.einsum("nic,njc->nij", x.reshape(-1, 24, 3), x.reshape(-1, 24, 3)),
    "slices": lambda x: lax.rev(
        lax.slice(x, (0, 1, 0, 1), (x.shape[0], 5, 4, 3), (1, 2, 1, 1)), (1,)
    ),
    "joins": lambda x: jnp.concatenate([jnp.stack([x, -x], 1), x[:, None]], 1).swapaxes(1, 2),
    "splits": lambda x: lax.split(x, (1, 3), axis=2)[1],
    "padding": lambda x: jnp.pad(x, [(0, 0), (2, 0), (1, 2), (0, 0)]),
    "broadcasting": lambda x: x + jnp.squeeze(lax.slice_in_dim(x, 0, 1, axis=1), 1)[:, None],
    "copies": lambda x: lax.stop_gradient(jnp.array(x, copy=True)) + lax.optimization_barrier(x),
    "convolution": lambda x: convolution(x, (3, 3, 3, 5), window_strides=(2, 1)),
    "batch norm": lambda x: (
        (convolution(x, (3, 3, 3, 5)) - kernel(1, 1, 1, 5)) * kernel(1, 1, 1, 5) + 0.3
    ),
    "batch norm of a product": lambda x: jax.nn.relu(
        2 * (kernel(1, 5) + x.reshape(-1, 3) @ kernel(3, 5)).reshape(-1, 6, 4, 5) - 1
    ),
    "dilation": lambda x: convolution(x, (2, 2, 3, 5), rhs_dilation=(2, 1)),
    "groups": lambda x: convolution(x, (3, 3, 1, 6), feature_group_count=3),
    "transposed convolution": lambda x: convolution(
        x, (4, 4, 3, 5), lhs_dilation=(2, 2), padding=[(2, 2), (1, 3)]
    ),
    "pooling": lambda x: lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 0), (0, 0)]
    ),
    "pointwise convolution": lambda x: (x.reshape(-1, 3) @ kernel(3, 5)).reshape(-1, 6, 4, 5),
}


def embedder(function):
    """The function as an embedder: of 10 x N small images, and of the opposite if infrared."""

    def features(sign, pixels):
        colors = pixels.astype(jnp.float32).max((1, 2)) / 255
        found = function(sign * colors[:, None, None] * kernel(1, 6, 4, 3))
        return found.astype(jnp.float32).reshape(pixels.shape[0], -1)

    branches = [functools.partial(features, sign) for sign in (1, -1)]
    return lambda pixels, modality: lax.switch(modality, branches, pixels)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnxruntime_computes_what_jax_computes(name):
    embed = embedder(FUNCTIONS[name])
    read = Reader(write(embed))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 3), np.uint8)
    for modality in range(2):
        expected = jax.jit(embed)(pixels, modality)
        np.testing.assert_allclose(read(pixels, modality), expected, rtol=1e-5, atol=1e-5)


def test_every_operator_of_the_table_is_tested():
    used = set()
    for function in FUNCTIONS.values():
        text = str(jax.make_jaxpr(function)(jnp.zeros((2, 6, 4, 3))))
        used |= {*re.findall(r"= (\w+)[ \[]", text)}
    # These are in every embedder: the sizes of the pixels, and the choice of the modality.
    assert OPERATORS.keys() - used <= {"clamp", "cond", "dim_as_value", "iota"}


def test_what_has_no_counterpart_is_named():
    with pytest.raises(InputError, match=r"cumsum.*stablehlo"):
        write(embedder(lambda x: jnp.cumsum(x, axis=1)))


def operators_of(content):
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def test_both_modalities_share_the_weights():
    content = write(embedder(lambda x: x.reshape(-1, 72) @ kernel(72, 1000)))
    assert len(content) < 72 * 1000 * 4 * 1.5
    assert "If" not in operators_of(content)


@pytest.mark.parametrize(("trunk", "operator"), [(400, "Where"), (4, "If")])
def test_a_stem_of_each_modality_is_chosen_by_its_weights_if_they_are_few(trunk, operator):
    """As a whole, the functions are chosen: runtimes compute that more slowly."""

    def stem(number, pixels):
        means = pixels.astype(jnp.float32).max((1, 2)) / 255
        hidden = means @ kernel(2, 3, 24)[number]
        return jax.nn.relu(hidden) @ kernel(24, trunk) + (5 if number else 3)

    branches = [functools.partial(stem, number) for number in range(2)]

    def embed(pixels, modality):
        return lax.switch(modality, branches, pixels)

    content = write(embed)
    assert operator in operators_of(content)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 3), np.uint8)
    for modality in range(2):
        found, expected = Reader(content)(pixels, modality), jax.jit(embed)(pixels, modality)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_computed_in_float32():
    embed = embedder(lambda x: convolution(x.astype(jnp.bfloat16), (3, 3, 3, 5)))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 3), np.uint8)
    expected = jax.jit(embed)(pixels, 0)
    np.testing.assert_allclose(Reader(write(embed))(pixels, 0), expected, rtol=0.05, atol=0.05)
