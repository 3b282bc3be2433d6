"""Images to embed against Pillow's and TensorFlow's resizing, and their batches."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jreid.data import pixels

MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


def picture(height=61, width=37):
    """A smooth gradient with some noise, so that resizing has both to deal with."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / a + x / b) for a, b in ((5, 9), (11, 4), (8, -7))]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    values = np.clip(128 + 100 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize(
    ("method", "resample", "most"),
    [  # Lanczos overshoots next to saturated pixels, where Pillow clips between its two passes.
        ("bilinear", Image.Resampling.BILINEAR, 1),
        ("lanczos", Image.Resampling.LANCZOS, 6),
    ],
)
@pytest.mark.parametrize("size", [(48, 24), (96, 64), (61, 37), (40, 80)])
def test_resize_is_close_to_pillow(method, resample, most, size):
    image = picture()
    expected = np.asarray(image.resize(size[::-1], resample)).astype(np.float32)
    result = pixels.resize(np.asarray(image), size, method)
    assert result.dtype == np.uint8 and result.shape == (*size, 3)
    difference = np.abs(result - expected)
    assert difference.mean() < 0.25 and difference.max() <= most


@pytest.mark.parametrize("method", ["bilinear", "lanczos"])
@pytest.mark.parametrize("shape", [(61, 37), (350, 171), (1, 1), (7, 300)])
def test_resize_is_tensorflows(method, shape):
    """Bilinear bit for bit; Lanczos but for the last digit of a sine, once in a million values."""
    image = np.asarray(picture(*shape))
    kernel = {"bilinear": "bilinear", "lanczos": "lanczos3"}[method]
    for size in ((96, 48), (31, 90)):
        expected = tf.image.resize(image, size, kernel, antialias=True).numpy()
        expected = np.floor(np.clip(expected, 0, 255) + 0.5).astype(int)
        difference = np.abs(pixels.resize(image, size, method) - expected)
        assert difference.sum() <= (1 if method == "lanczos" else 0)


def test_weights_of_long_sides_are_not_kept():
    """An image of each length would fill the memory of a server."""
    before = pixels._weights.cache_info().currsize
    long = np.zeros((1, pixels.KEPT_SIDE + 1, 3), np.uint8)
    assert pixels.resize(long, (4, 2), "bilinear").shape == (4, 2, 3)
    assert pixels._weights.cache_info().currsize == before


@pytest.mark.parametrize("method", pixels.RESIZE)
def test_resize_to_the_same_size_changes_nothing(method):
    image = np.asarray(picture())
    np.testing.assert_array_equal(pixels.resize(image, (61, 37), method), image)


def test_preprocess_is_decode_resize_normalize():
    image, file = picture(), io.BytesIO()
    image.save(file, "PNG")
    result = pixels.preprocess(file.getvalue(), (48, 24), "lanczos")
    assert result.dtype == np.float32
    expected = np.asarray(image.resize((24, 48), Image.Resampling.LANCZOS)) / 255
    np.testing.assert_allclose(result, (expected - MEAN) / STD, atol=2.01 / 255 / 0.224)
