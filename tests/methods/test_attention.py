"""Grad-CAM of embeddings: the values of a small network, and that every method has it."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.variables import filled, shapes

from jreid.config import load as load_config
from jreid.errors import InputError
from jreid.methods import load
from jreid.methods.attention import grad_cam_of
from jreid.nn.colors import to_unit
from jreid.nn.resize import resize
from jreid.nn.visualize import heat_colors

METHODS = ("agw", "pfinet", "base_derivative", "pfanet", "mutual_prediction")


class Network(nn.Module):
    """A map x, whose mean times W is the embedding; a vector as a map has no regions."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(4, (3, 3), strides=2)(images)
        y = nn.Conv(5, (1, 1))(x.mean((1, 2), keepdims=True))
        return nn.relu(y)[:, 0, 0] + 0 * nn.Conv(1, (1, 1))(x).mean()


def embed(variables, images, modality):
    return Network().apply(variables, images)


def test_the_heat_is_that_of_the_papers_equations():
    images = random_batch()["visible"]
    variables = filled(jax.eval_shape(Network().init, jax.random.key(0), images), gain=2.0)
    picture = np.asarray(grad_cam_of(embed)(variables, images, "visible"))
    params = variables["params"]
    x = np.asarray(nn.Conv(4, (3, 3), strides=2).apply({"params": params["Conv_0"]}, images))
    W = params["Conv_1"]["kernel"][0, 0]
    embedding = np.maximum(x.mean((1, 2)) @ W, 0)
    weights = embedding @ W.T / (x.shape[1] * x.shape[2])  # the gradient, equal at all positions
    heat = np.maximum((x * weights[:, None, None]).sum(-1), 0)
    heat = heat / heat.max((1, 2), keepdims=True)
    large = np.clip(resize(jnp.asarray(heat[..., None], jnp.float32), (32, 16))[..., 0], 0, 1)
    pixels = np.clip(to_unit(images), 0, 1)
    np.testing.assert_allclose(picture[:, :, :16], pixels, atol=1e-6)
    shown = 0.5 * pixels + 0.5 * np.asarray(heat_colors(jnp.asarray(large)))
    np.testing.assert_allclose(picture[:, :, 16:], shown, atol=1e-4)
    assert heat.std() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_attention(method):
    """Nothing is computed: the shapes show that it finds a map."""
    one = load(load_config(f"{method}:tiny", ["--config.backbone.rematerialize=True"]))
    images = random_batch()["visible"]
    picture = jax.eval_shape(lambda v: one.pictures["grad_cam"](v, images, "visible"), shapes(one))
    assert picture.shape == (4, 32, 32, 3)


def test_a_methods_own_grad_cam_stays():
    images = random_batch()["visible"]
    one = load(load_config("idkl:tiny"))
    picture = jax.eval_shape(lambda v: one.pictures["grad_cam"](v, images, "visible"), shapes(one))
    assert picture.shape == (4, 32, 48, 3)  # of two branches


def test_a_map_may_be_the_last_field_of_a_named_tuple():
    class Out(NamedTuple):
        pooled: Any
        map: Any

    class Maps(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(3, (3, 3))(x)
            return Out(x.mean((1, 2)), x)

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            out = Maps()(x)
            return out.map.mean((1, 2)) + out.pooled

    images, network = jnp.asarray(random_batch()["visible"]), Network()
    variables = network.init(jax.random.key(0), images)
    picture = grad_cam_of(lambda v, x, modality: network.apply(v, x))(variables, images, "visible")
    assert picture.shape == (4, 32, 32, 3)  # the image, and beside it the heat


def test_a_network_without_maps_has_no_attention():
    def flat(variables, images, modality):
        return images.mean((1, 2))

    with pytest.raises(InputError, match="no map"):
        grad_cam_of(flat)({}, random_batch()["visible"], "visible")
