"""The modality alleviation module (MMM): instance norm on the channels that show the modality."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.normalization import instance_norm
from jreid.nn.pooling import global_average


class ModalityAlleviation(nn.Module):
    """A map to one of its shape: mixes each channel with its instance norm.

    PFANet (2022), equations 11 to 13, after MPANet (CVPR 2021): m M + (1 - m) IN(M) with the mask
    m = sigmoid(W_2 ReLU(W_1 GAP(M))), both W without bias. "Var is the standard deviation", below
    equation 13, is a mistake: Var is under the square root.

    Attributes:
        reduction: of the channels between W_1 and W_2.
        dtype: of the result; the mask is computed in float32.
    """

    reduction: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Float[Array, "n h w c"]:
        """`train` changes nothing; a ResNet calls all modules after its stages with it.

        Raises:
            InputError: there are fewer channels than `reduction`.
        """
        c = x.shape[-1]
        if c < self.reduction:
            raise InputError(
                f"config.backbone.mmm.reduction={self.reduction} leaves none of {c} channels; "
                "choose a smaller one."
            )
        linear = partial(Linear, use_bias=False, kernel_init=LINEAR_INIT)
        reduce, expand = linear(c // self.reduction, name="reduce"), linear(c, name="expand")
        mask = nn.sigmoid(expand(nn.relu(reduce(global_average(x)))))
        return alleviate(x, mask).astype(self.dtype)


def alleviate(x: Float[Array, "n h w c"], mask: Float[Array, "n c"]) -> Float[Array, "n h w c"]:
    """Equation 11: `x` where the mask is 1, its instance norm where it is 0."""
    share = mask[:, None, None, :]
    return share * x + (1 - share) * instance_norm(x)
