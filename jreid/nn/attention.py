"""Attention over the positions of a feature map: AGW's non-local block."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.layers import Linear
from jreid.nn.normalization import BatchNorm


class NonLocal(nn.Module):
    """Adds to each position a mixture of all others; starts as the identity.

    Ye et al., "Deep Learning for Person Re-identification" (AGW, TPAMI 2022), eq. 5, after Wang et
    al. (2018): x + BN(W y), y_i = 1/N sum_j (theta_i . phi_j) g_j over N positions, no softmax.

    Attributes:
        reduced_channels: of theta, phi and g. The released code intends half of the channels, but
            its integer division gives 1; published weights have 1.
        dtype: of the computation; parameters are float32.
    """

    reduced_channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        n, h, w, c = x.shape
        positions = x.reshape(n, h * w, c)
        theta, phi, g = (
            Linear(self.reduced_channels, dtype=self.dtype, name=name)(positions)
            for name in ("theta", "phi", "g")
        )
        # Without a softmax the product is associative, and this order needs no N x N matrix.
        summary = jnp.einsum("njr,njc->nrc", phi, g) / (h * w)
        mixture = jnp.einsum("nir,nrc->nic", theta, summary)
        residual = Linear(c, dtype=self.dtype, name="W")(mixture)
        norm = BatchNorm(self.dtype, scale_init=nn.initializers.zeros, name="norm")
        return x + norm(residual, train).reshape(x.shape)
