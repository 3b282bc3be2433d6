import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.xla_flags import OPTIMIZED
from jax import export

from jreid.nn.max_pool import _maximum, max_pool


def rounded(shape, dtype):
    """Values with many ties."""
    return jnp.asarray(np.random.default_rng(0).integers(0, 4, shape), dtype)


def gradient(x, weights):
    return jax.grad(lambda x: jnp.sum((max_pool(x) * weights).astype(jnp.float32)))(x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("h", "w"), [(6, 4), (5, 7), (2, 1)])
def test_the_gradient_is_pytorchs(h, w, dtype):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    x, weights = rounded((2, h, w, 3), dtype), rounded((2, (h + 1) // 2, (w + 1) // 2, 3), dtype)
    theirs = torch.tensor(np.float32(x)).permute(0, 3, 1, 2).requires_grad_()
    y = torch.nn.functional.max_pool2d(theirs, 3, 2, 1).permute(0, 2, 3, 1)
    (y * torch.tensor(np.float32(weights))).sum().backward()
    np.testing.assert_array_equal(np.float32(max_pool(x)), y.detach())
    ours = gradient(x, weights)
    assert ours.dtype == x.dtype
    np.testing.assert_array_equal(np.float32(ours), theirs.grad.permute(0, 2, 3, 1))


def test_no_gradient_is_lost_where_xla_computes_the_map_again():
    """With batch norm in one program it does, in the backward pass and with other rounding."""
    rng = np.random.default_rng(0)
    images, kernel, weights = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((8, 96, 48, 3), (7, 7, 3, 16), (8, 24, 12, 16))
    )

    def loss(kernel, pool):
        x = jax.lax.conv_general_dilated(
            images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        mean, variance = (f(x, axis=(0, 1, 2), keepdims=True) for f in (jnp.mean, jnp.var))
        return jnp.sum(pool(jax.nn.relu((x - mean) * jax.lax.rsqrt(variance + 1e-5))) * weights)

    gradient = jax.jit(jax.grad(loss), static_argnums=1, compiler_options=OPTIMIZED)
    ours, scattered = gradient(kernel, max_pool), gradient(kernel, _maximum)
    assert np.linalg.norm(ours - scattered) < 1e-5 * np.linalg.norm(scattered)


@pytest.mark.parametrize(("platform", "scatters"), [("cpu", False), ("cuda", True), ("tpu", True)])
def test_only_cpus_do_not_scatter(platform, scatters):
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, 6, 4, 3), (1, 3, 2, 3))]
    program = export.export(jax.jit(gradient), platforms=[platform])(*shapes).mlir_module()
    assert ("select_and_scatter" in program) is scatters
