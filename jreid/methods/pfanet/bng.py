"""BNG attention of PFANet: batch norm weighs the channels, then channels and places are gated."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.nn.layers import Conv, Linear
from jreid.nn.normalization import BatchNorm


class BNG(nn.Module):
    """Batch normalization and global attention; a map to one of its shape.

    PFANet (2022), section 3.2, after NAM (Liu et al., 2021) and GAM (Liu et al., 2021):

        F_1 = F * sigmoid(W BN(F)),  W_i = |gamma_i| / sum_j |gamma_j|       (equations 8 and 9)
        F_2 = F_1 * sigmoid(MLP(F_1)) at each position                       (equation 10)
        F_3 = F_2 * sigmoid(BN(conv7x7(ReLU(BN(conv7x7(F_2))))))

    Equation 9 prints the gate alone. NAM's code multiplies by the input, takes |gamma|, has a
    separate batch norm for the gate, and passes no gradient through W.

    Attributes:
        reduction: of the channels within MLP and convolutions; 16, which the paper takes from BAM.
            GAM has 4.
        channel_sigmoid: whether a sigmoid follows the MLP. Equation 10 calls the result an
            attention map; GAM's code has no sigmoid.
        groups: of the convolutions; GAM's variant with 4 groups shuffles channels across them.
        nam_literal: F_1 is the gate alone, as printed.
        nam_relu: a ReLU before the gate's sigmoid, as in NAM's newest code.
        zero_init_last_bn: the last batch norm begins at zero, so that every spatial gate begins at
            0.5 for any map; for backbones with pretrained weights.
        dtype: of the computation; parameters are float32.
    """

    reduction: int = 16
    channel_sigmoid: bool = True
    groups: int = 1
    nam_literal: bool = False
    nam_relu: bool = False
    zero_init_last_bn: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Raises InputError if the channels cannot be divided by the reduction and the groups."""
        if x.shape[-1] % self.reduction or (x.shape[-1] // self.reduction) % self.groups:
            raise InputError(
                f"config.backbone.bng: {x.shape[-1]} channels cannot be divided by "
                f"reduction={self.reduction} and then into groups={self.groups}; choose divisors."
            )
        x = self._by_batch_norm(x, train)
        x = self._by_channel(x)
        return self._by_place(x, train)

    def _by_batch_norm(self, x: Array, train: bool) -> Array:
        # In float32: bfloat16 would round nearly all gates to 0.5, since gamma's shares are small.
        norm = BatchNorm(jnp.float32, name="gate")
        scores = norm(x, train)
        gamma = lax.stop_gradient(jnp.abs(norm.variables["params"]["scale"]))
        scores = scores * (gamma / gamma.sum())[None, None, None]
        gate = nn.sigmoid(nn.relu(scores) if self.nam_relu else scores)
        return (gate if self.nam_literal else x.astype(jnp.float32) * gate).astype(self.dtype)

    def _by_channel(self, x: Array) -> Array:
        n, h, w, c = x.shape
        positions = x.reshape(n, h * w, c)
        hidden = nn.relu(Linear(c // self.reduction, dtype=self.dtype, name="reduce")(positions))
        gate = Linear(c, dtype=self.dtype, name="expand")(hidden).reshape(x.shape)
        return x * (nn.sigmoid(gate) if self.channel_sigmoid else gate)

    def _by_place(self, x: Array, train: bool) -> Array:
        c = x.shape[-1]
        last = nn.initializers.zeros if self.zero_init_last_bn else nn.initializers.ones
        conv = partial(Conv, size=7, groups=self.groups, dtype=self.dtype)
        y = conv(c // self.reduction, name="conv1")(x)
        y = nn.relu(BatchNorm(self.dtype, name="bn1")(y, train))
        y = conv(c, name="conv2")(y)
        gate = nn.sigmoid(BatchNorm(self.dtype, scale_init=last, name="bn2")(y, train))
        return x * (shuffle(gate, self.groups) if self.groups > 1 else gate)


def shuffle(x: Float[Array, "n h w c"], groups: int) -> Float[Array, "n h w c"]:
    """With g groups of k channels, channel j * k + i becomes i * g + j.

    So the i-th channels of all groups become neighbors.
    """
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)
