"""Pixels are prepared inside an export as `jreid embed` prepares them."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jreid.data import pixels as own
from jreid.export.preprocess import preprocess, to_gray

SIZE = (32, 16)
ONE_LEVEL = float(own.SCALE.max())


@pytest.mark.parametrize(("method", "gray"), [("bilinear", False), ("lanczos", True)])
@pytest.mark.parametrize("size", [(64, 32), (47, 90), (20, 9), SIZE, (1, 1)])
def test_images_are_prepared_as_those_to_embed(size, method, gray):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    expected = own.preprocess(file.getvalue(), SIZE, method, gray)
    pixels = jnp.asarray(image[None])
    (found,) = preprocess(to_gray(pixels) if gray else pixels, SIZE, method)
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
