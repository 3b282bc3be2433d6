import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jreid.nn.max_pool import max_pool


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


@pytest.mark.parametrize(("platform", "scatters"), [("cpu", False), ("cuda", True), ("tpu", True)])
def test_only_cpus_do_not_scatter(platform, scatters):
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, 6, 4, 3), (1, 3, 2, 3))]
    program = export.export(jax.jit(gradient), platforms=[platform])(*shapes).mlir_module()
    assert ("select_and_scatter" in program) is scatters
