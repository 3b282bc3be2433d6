"""Base-Derivative's generator: two more modalities from visible and infrared; ten parameters."""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np
from jax.nn.initializers import constant, ones, zeros
from jaxtyping import Array, Float

from jreid.nn.colors import LUMA, from_unit, to_unit
from jreid.nn.layers import Linear, uniform

INPUTS = ("imagenet", "unit")
INFRARED_CHANNELS = ("mean", "first")


# By name: kernel and bias of the encoder, kernel and bias of the generator.
WEIGHT_INITS = {
    "third": (constant(1 / 3), zeros, constant(1 / 3), zeros),
    "torch": (uniform(3), uniform(3), uniform(1), uniform(1)),
    "bt601": (constant(np.array(LUMA)[:, None]), zeros, ones, zeros),
}


class ModalityGenerator(nn.Module):
    """An encoder of visible images to one channel and a shared generator of three channels.

    Liu et al., Base-Derivative Framework (ICPR 2020), equation 1: G(E(visible)), G(infrared). E is
    a 1x1 convolution and ReLU (4 parameters), G a 1x1 convolution (6), both with biases; computed
    in float32. A part that is not called has no parameters.

    Attributes:
        weight_init: `third`: all weights are 1/3, as in MMN; `torch`: PyTorch's random weights;
            `bt601`: weights that make the luma of a visible image and repeat it over the channels.
        out_relu: a ReLU after the generator, too; the paper does not mention one.
        input: the pixels that encoder and generator take: `imagenet`, normalized as given, where
            the ReLU clips those that are darker than ImageNet's mean, or `unit`, 0..1, normalized
            again afterwards.
        infrared_channel: the one channel of an infrared image: the `mean` of its three or the
            `first`; they differ only by ImageNet's normalization.
    """

    weight_init: str = "third"
    out_relu: bool = False
    input: str = "imagenet"
    infrared_channel: str = "mean"

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]]
    ) -> dict[str, Float[Array, "n h w 3"]]:
        """From images of `visible`, `infrared` or both to `derived_visible`, `derived_infrared`.

        Args:
            images: normalized by ImageNet's mean and standard deviation, as the results are.
        """
        encoder_kernel, encoder_bias, kernel, bias = WEIGHT_INITS[self.weight_init]
        encoder = Linear(1, True, encoder_kernel, encoder_bias, name="encoder")
        generator = Linear(3, True, kernel, bias, name="generator")
        derived = {}
        for base, values in images.items():
            x = to_unit(values) if self.input == "unit" else values
            x = nn.relu(encoder(x)) if base == "visible" else self._one_channel(x)
            x = generator(x)
            x = nn.relu(x) if self.out_relu else x
            derived[f"derived_{base}"] = from_unit(x) if self.input == "unit" else x
        return derived

    def _one_channel(self, x: Array) -> Array:
        return x[..., :1] if self.infrared_channel == "first" else x.mean(-1, keepdims=True)
