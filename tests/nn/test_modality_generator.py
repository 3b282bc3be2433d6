"""Base-Derivative's generator: its ten parameters and their three initializations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count

from jreid.data import pixels
from jreid.nn import colors
from jreid.nn.colors import from_unit, to_unit
from jreid.nn.modality_generator import ModalityGenerator


def images(rows=2) -> Any:
    values = jnp.asarray(np.random.default_rng(0).normal(size=(2, rows, 4, 3, 3)), jnp.float32)
    return {"visible": values[0], "infrared": values[1]}


def parameters(given: Any, **options: Any) -> Any:
    """Of a network of these options, from a fixed key."""
    return ModalityGenerator(**options).init(jax.random.key(0), given).get("params", {})


def derive(params: Any, given: Any, **options: Any) -> Any:
    return ModalityGenerator(**options).apply({"params": params}, given)


def test_ten_parameters_of_which_infrared_needs_six():
    given = images()
    assert count(parameters(given)) == 10
    assert count(parameters({"visible": given["visible"]})) == 10
    assert count(parameters({"infrared": given["infrared"]})) == 6
    assert parameters({}) == {}


def test_equation_1_by_hand():
    params = {
        "encoder": {"kernel": jnp.array([[1.0], [2.0], [3.0]]), "bias": jnp.array([-1.0])},
        "generator": {"kernel": jnp.array([[1.0, 0.0, -2.0]]), "bias": jnp.array([0.5, 1.0, 0.0])},
    }
    pixels = {
        "visible": jnp.array([[[[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]]]),
        "infrared": jnp.array([[[[1.0, 2.0, 6.0], [-1.0, -1.0, -1.0]]]]),
    }
    # Encoded to 5 and to a clipped -2; of infrared the means are 3 and -1, and not clipped.
    derived = derive(params, pixels)
    assert set(derived) == {"derived_visible", "derived_infrared"}
    np.testing.assert_allclose(derived["derived_visible"][0, 0], [[5.5, 1, -10], [0.5, 1, 0]])
    np.testing.assert_allclose(derived["derived_infrared"][0, 0], [[3.5, 1, -6], [-0.5, 1, 2]])
    first = derive(params, pixels, infrared_channel="first")
    np.testing.assert_allclose(first["derived_infrared"][0, 0, 0], [1.5, 1, -2])
    clipped = derive(params, pixels, out_relu=True)
    np.testing.assert_allclose(clipped["derived_infrared"][0, 0], [[3.5, 1, 0], [0, 1, 2]])


def test_the_initializations():
    third = parameters(images(), weight_init="third")
    np.testing.assert_allclose(third["encoder"]["kernel"], np.full((3, 1), 1 / 3))
    np.testing.assert_allclose(third["generator"]["kernel"], np.full((1, 3), 1 / 3))
    luma = parameters(images(), weight_init="bt601")
    np.testing.assert_allclose(luma["encoder"]["kernel"][:, 0], [0.299, 0.587, 0.114])
    np.testing.assert_array_equal(luma["generator"]["kernel"], np.ones((1, 3)))
    for params in (third, luma):
        assert not params["encoder"]["bias"].any()
        assert not params["generator"]["bias"].any()


def test_the_initialization_of_pytorch_is_uniform():
    def draw(key):
        return ModalityGenerator(weight_init="torch").init(key, images())["params"]

    params = jax.vmap(draw)(jax.random.split(jax.random.key(0), 500))
    for name, bound in (("encoder", 3**-0.5), ("generator", 1.0)):
        for leaf in params[name].values():
            assert np.abs(leaf).max() <= bound
            np.testing.assert_allclose(leaf.std(), bound / 3**0.5, rtol=0.06)
            np.testing.assert_allclose(leaf.mean(), 0, atol=0.1 * bound)


def test_luma_of_unit_pixels_is_the_gray_image():
    pixels = jax.random.uniform(jax.random.key(0), (2, 4, 3, 3))
    given = {"visible": from_unit(pixels), "infrared": from_unit(pixels[..., :1].repeat(3, -1))}
    params = parameters(given, weight_init="bt601")
    derived = derive(params, given, input="unit")
    gray = to_unit(derived["derived_visible"])
    expected = (pixels @ jnp.array([[0.299], [0.587], [0.114]])).repeat(3, -1)
    np.testing.assert_allclose(gray, expected, atol=1e-5)
    np.testing.assert_allclose(derived["derived_infrared"], given["infrared"], atol=1e-5)


def test_unit_pixels_are_what_the_pipeline_normalized():
    assert colors.IMAGENET_MEAN == pixels.IMAGENET_MEAN
    assert colors.IMAGENET_STD == pixels.IMAGENET_STD
    levels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    normalized = jnp.asarray(levels * pixels.SCALE + pixels.SHIFT)[None]
    np.testing.assert_allclose(to_unit(normalized), levels[None] / 255, atol=1e-6)
    np.testing.assert_allclose(from_unit(to_unit(normalized)), normalized, atol=1e-5)


def test_initialization_and_input_change_the_result():
    given = images()
    params = parameters(given)
    plain = derive(params, given)
    other = derive(params, given, input="unit")
    assert not np.allclose(plain["derived_visible"], other["derived_visible"])
    assert not np.allclose(plain["derived_infrared"], other["derived_infrared"])
    luma = derive(parameters(given, weight_init="bt601"), given)
    assert not np.allclose(plain["derived_visible"], luma["derived_visible"])


def test_an_unknown_initialization_is_refused():
    with pytest.raises(KeyError, match="luma"):
        parameters(images(), weight_init="luma")
