"""Generators and discriminators: shapes, counts, and PyTorch's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count, filled

from jreid.nn.gan import Deconv, Generator, ImageDiscriminator, JointDiscriminator
from jreid.nn.resize import resize

IMAGES = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
MAP = jax.ShapeDtypeStruct((2, 24, 12, 2048), jnp.float32)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("module", "inputs", "parameters", "shape"),
    [
        (Generator(), (IMAGES,), 6_053_504, (2, 128, 128, 3)),
        (Generator(residual_blocks=6), (IMAGES,), 8_414_848, (2, 128, 128, 3)),
        (ImageDiscriminator(), (IMAGES,), 11_155_392, (2, 4, 4, 1)),
        (JointDiscriminator(), (IMAGES, MAP), 11_810_816, (2, 4, 4, 1)),
    ],
)
def test_counts_and_shapes_of_the_specification(module, inputs, parameters, shape):
    init = functools.partial(module.init_with_output, jax.random.key(0))
    output, variables = jax.eval_shape(init, *inputs)
    assert count(variables["params"]) == parameters
    assert set(variables) == {"params"}
    assert (output.shape, output.dtype) == (shape, jnp.float32)


def test_generated_pixels_lie_between_minus_one_and_one():
    generator = Generator(width=4, residual_blocks=1)
    images = jnp.asarray(normal(2, 16, 8, 3))
    run = jax.jit(generator.apply)
    variables = filled(jax.eval_shape(generator.init, jax.random.key(0), images))
    pixels = run(variables, images)
    assert 0.1 < jnp.abs(pixels).max() <= 1
    assert jnp.abs(run(jax.tree.map(lambda x: 100 * x, variables), images)).max() <= 1
    alone = run(variables, images[::-1])[::-1]  # no image depends on its place in the batch
    np.testing.assert_allclose(pixels, alone, atol=1e-5)
    one = images.at[0].set(0.0)  # nor on those beside it
    np.testing.assert_allclose(pixels[1], run(variables, one)[1], atol=1e-5)


def test_sizes_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(ValueError, match="cannot be divided by 4"):
        Generator(width=4).init(jax.random.key(0), jnp.zeros((1, 18, 8, 3)))


def test_a_silent_joint_discriminator_judges_images_alone():
    joint = JointDiscriminator(width=4, stages=4)
    images, maps = jnp.asarray(normal(2, 32, 16, 3)), jnp.asarray(normal(2, 6, 3, 8))
    run = jax.jit(joint.apply, static_argnums=3)
    variables = filled(jax.eval_shape(joint.init, jax.random.key(0), images, maps))
    heard, silent = (run(variables, images, maps, silent) for silent in (False, True))
    assert heard.shape == (2, 2, 1, 1)
    np.testing.assert_array_equal(silent, run(variables, images, 7 * maps, True))
    assert not np.allclose(heard, run(variables, images, 7 * maps, False))
    assert not np.allclose(heard, silent)


def test_the_joint_discriminator_keeps_a_stage_behind_the_features():
    with pytest.raises(ValueError, match="stages"):
        JointDiscriminator(4, 3).init(
            jax.random.key(0), jnp.zeros((1, 16, 8, 3)), jnp.asarray(normal(1, 2, 1, 8))
        )


def test_transposed_convolutions_equal_pytorch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    x, kernel = normal(2, 4, 3, 5), normal(4, 4, 5, 2)
    ours = Deconv(2).apply({"params": {"kernel": kernel}}, jnp.asarray(x))
    theirs = torch.nn.functional.conv_transpose2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(kernel[::-1, ::-1].copy()).permute(2, 3, 0, 1),
        stride=2, padding=1,
    )  # fmt: skip
    assert ours.shape == (2, 8, 6, 2)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(12, 9), (3, 2), (5, 4), (4, 16)])
def test_resizing_equals_pytorch_and_so_does_its_gradient(size):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    x, weight = normal(2, 6, 5, 3), normal(2, *size, 3)
    value, gradient = jax.value_and_grad(lambda x: (resize(x, size) * weight).sum())(jnp.asarray(x))
    theirs = torch.tensor(x, requires_grad=True)
    resized = torch.nn.functional.interpolate(
        theirs.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False, antialias=False
    ).permute(0, 2, 3, 1)
    total = (resized * torch.tensor(weight)).sum()
    total.backward()
    np.testing.assert_allclose(resize(jnp.asarray(x), size), resized.detach(), atol=1e-5)
    np.testing.assert_allclose(value, total.detach(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, theirs.grad, atol=1e-5)
