"""Pixels are prepared inside an export as `jreid embed` prepares them."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jreid.data import pixels as own
from jreid.export import onnx
from jreid.export.preprocess import preprocess, to_gray

SIZE = (32, 16)
ONE_LEVEL = float(own.SCALE.max())


SIZES = [(64, 32), (47, 90), (20, 9), SIZE, (1, 1)]


def jax_preprocess(method, gray):
    return jax.jit(lambda pixels: preprocess(to_gray(pixels) if gray else pixels, SIZE, method))


def onnx_preprocess(method, gray):
    def flat(pixels, modality):
        found = jax_preprocess(method, gray)(pixels).reshape(pixels.shape[0], -1)
        return found + 0 * modality.astype(jnp.float32)

    read = onnx.Reader(onnx.write(flat))
    return lambda pixels: read(np.asarray(pixels), 0).reshape(-1, *SIZE, 3)


def test_onnx_files_prepare_pixels_exactly():
    """Halved, many levels lie between two, so that no operation may be computed otherwise."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), np.uint8)
    expected = [own.resize(image, SIZE, "bilinear") * own.SCALE + own.SHIFT for image in pixels]
    found = onnx_preprocess("bilinear", False)(pixels)
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [jax_preprocess, onnx_preprocess])
@pytest.mark.parametrize(("method", "gray"), [("bilinear", False), ("lanczos", True)])
def test_images_are_prepared_as_those_to_embed(method, gray, make):
    prepare = make(method, gray)
    for size in SIZES:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        expected = own.preprocess(file.getvalue(), SIZE, method, gray)
        (found,) = prepare(jnp.asarray(image[None]))
        difference = np.abs(np.asarray(found) - expected)
        # Sums in another order: a level may be rounded to its neighbor where it lies between two.
        assert (difference > 1e-6).mean() < 0.005
        assert difference.max() < 1.01 * ONE_LEVEL


def test_every_color_becomes_the_gray_of_pillow():
    colors = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), -1).reshape(
        1, -1, 52, 3
    )
    expected = Image.fromarray(colors[0]).convert("L").convert("RGB")
    np.testing.assert_array_equal(to_gray(jnp.asarray(colors))[0], np.asarray(expected))
