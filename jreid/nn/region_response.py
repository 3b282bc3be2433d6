"""PFINet's discriminative-region response: which regions of a pyramid level show the identity."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.nn.layers import Conv
from jreid.nn.pooling import first_maximum
from jreid.nn.resize import resize

ATTENTIONS = ("conv1x1", "cbam7")
SHARES = ("per_level", "top_upsampled", "joint")


class RegionResponse(nn.Module):
    """Response maps M_i = sigmoid(Att(P_i)) in 0..1 of a pyramid's levels.

    PFINet (CVM 2022), equation 4, with P_i for its F_i. The paper does not say what Att is.

    Attributes:
        attention: Att. `conv1x1`, as in the released code, with bias; `cbam7`, a 7x7 convolution
            of the mean and the maximum over the channels (Woo et al., 2018).
        share: `per_level`, one Att for each level. The released code also tries `top_upsampled`,
            the top level's response for all levels, and `joint`, one response for all levels, from
            their concatenation after averaging them to the top level's size.
        dtype: of the computation; parameters are float32.
    """

    attention: str = "conv1x1"
    share: str = "per_level"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[Float[Array, "n _ _ _"]]) -> list[Float[Array, "n _ _ 1"]]:
        """One map for each level, with the level's height and width.

        Args:
            levels: from the top, the smallest, down: level 4, level 3, ...

        Raises:
            InputError: with `joint`, the size of a level is not a multiple of the top level's.
            ValueError: an unknown attention or share.
        """
        if self.attention not in ATTENTIONS or self.share not in SHARES:
            raise ValueError(f"no region response {self.attention!r}, {self.share!r}")
        top = levels[0]
        if self.share == "per_level":
            return [self._response(x, f"level{4 - i}") for i, x in enumerate(levels)]
        if self.share == "joint":
            top = jnp.concatenate([average_to(x, top) for x in levels], axis=-1)
        shared = self._response(top, "shared")
        return [resize(shared, x.shape[1:3], "nearest") for x in levels]

    def _response(self, x: Array, name: str) -> Array:
        if self.attention == "conv1x1":
            return nn.sigmoid(Conv(1, 1, dtype=self.dtype, name=name)(x))
        channels = jnp.stack([x.mean(-1), first_maximum(x, -1)], axis=-1)
        return nn.sigmoid(Conv(1, 7, dtype=self.dtype, name=name)(channels))


def average_to(
    x: Float[Array, "n h w c"], like: Float[Array, "n i j _"]
) -> Float[Array, "n i j c"]:
    """The means of equal windows, as many as `like` has positions.

    Raises:
        InputError: the windows would have different sizes.
    """
    (n, h, w, c), (i, j) = x.shape, like.shape[1:3]
    if h % i or w % j:
        raise InputError(
            f"a joint response cannot average a map of {h}x{w} to {i}x{j}; set --config.image.size "
            "to multiples of 32, or --config.pfinet.response.share to another value."
        )
    return x.reshape(n, i, h // i, j, w // j, c).mean((2, 4))
