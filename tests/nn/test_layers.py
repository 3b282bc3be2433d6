"""The convolution and the linear layer, beside PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.nn.layers import LINEAR_INIT, Conv, Linear, uniform, wide_convolution


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("size", "stride"), [(4, 2), (7, 1), (3, 1), (1, 1), (1, 2)])
def test_convolutions_equal_pytorch(size, stride, groups):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    x, kernel, bias = normal(2, 8, 6, 3), normal(size, size, 3 // groups, 6), normal(6)
    conv = Conv(6, size, stride, groups)
    ours = conv.apply({"params": {"kernel": kernel, "bias": bias}}, jnp.asarray(x))
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(kernel).permute(3, 2, 0, 1),
        torch.tensor(bias), stride, (size - 1) // 2, groups=groups,
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_product_is_the_convolution(stride):
    x, params = jnp.asarray(normal(2, 4, 6, 3)), {"kernel": normal(1, 1, 3, 5), "bias": normal(5)}
    product, convolution = (
        Conv(5, 1, stride, product=product).apply({"params": params}, x)
        for product in (True, False)
    )
    np.testing.assert_allclose(product, convolution, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("h", "w", "size"), [(6, 3, 7), (2, 5, 5), (1, 1, 5), (8, 4, 3)])
def test_a_wide_kernel_is_one_product(h, w, size, stride):
    random, half = np.random.default_rng(0), size // 2
    result = 4, -(-h // stride), -(-w // stride), 5
    x, kernel, given = (
        jnp.asarray(random.normal(size=shape), jnp.float32)
        for shape in ((4, h, w, 6), (size, size, 6, 5), result)
    )

    def convolve(x, kernel, stride):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(half, half)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    (ours, our_gradients), (theirs, their_gradients) = (
        jax.vjp(lambda x, kernel, of=of: of(x, kernel, stride), x, kernel)
        for of in (wide_convolution, convolve)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for mine, other in zip(our_gradients(given), their_gradients(given), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "options", "products"),
    [
        ((2, 6, 3, 8), {"size": 7}, 1),
        ((2, 7, 7, 8), {"size": 7}, 0),  # as many positions as taps
        ((2, 6, 3, 8), {"size": 7, "groups": 2}, 0),
        ((2, 6, 3, 8), {"size": 7, "stride": 2}, 1),
        ((2, 4, 2, 8), {"size": 3}, 1),
        ((2, 3, 3, 8), {"size": 3}, 0),
        ((2, 2, 2, 8), {"size": 4, "stride": 2}, 0),
    ],
)
def test_kernels_that_are_wider_than_their_map_are_products(shape, options, products):
    conv, x = Conv(4, **options), jnp.zeros(shape)
    variables = jax.eval_shape(conv.init, jax.random.key(0), x)
    text = str(jax.make_jaxpr(conv.apply)(variables, x))
    assert (text.count("dot_general"), text.count("conv_general")) == (products, 1 - products)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4), (2, 3, 5, 4)])
def test_linear_layers_are_products_on_the_last_axis(shape):
    x, kernel, bias = normal(*shape), normal(4, 6), normal(6)
    with_bias = Linear(6).apply({"params": {"kernel": kernel, "bias": bias}}, jnp.asarray(x))
    without = Linear(6, use_bias=False).apply({"params": {"kernel": kernel}}, jnp.asarray(x))
    np.testing.assert_allclose(with_bias, x @ kernel + bias, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(without, x @ kernel, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"), [(Conv(64, 3), (1, 4, 4, 25)), (Linear(64), (1, 225))], ids=str
)
def test_layers_start_as_pytorch_starts_them(layer, shape):
    params = layer.init(jax.random.key(0), jnp.zeros(shape))["params"]
    assert {*params} == {"kernel", "bias"}
    for leaf in params.values():
        assert 0.9 / 15 < jnp.abs(leaf).max() <= 1 / 15


def test_both_forms_of_pytorchs_initialization_are_one_but_for_rounding():
    key, shape = jax.random.key(0), (50, 30)
    np.testing.assert_allclose(
        LINEAR_INIT(key, shape, jnp.float32), uniform(50)(key, shape, jnp.float32), atol=1e-7
    )
