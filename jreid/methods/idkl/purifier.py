"""IDKL's information purifier: removes a modality's style from a map and keeps the identity."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.normalization import RunningInstanceNorm, instance_norm
from jreid.nn.pooling import generalized_mean

MASKS = ("pooled", "per_pixel")
NORMS = ("plain", "affine")


class Purified(NamedTuple):
    """The purifier's outputs for a map F, by the paper's names.

    Attributes:
        map: F~, the purified map (equation 12).
        enhanced: F^d+ = m_e F (equation 9).
        reduced: F^^m- = m_r F^ (equation 9).
        normalized: F^, after instance norm (equation 7).
        enhancement_mask: m_e, in 0..1; of height and width 1 where it is pooled.
        reduction_mask: m_r, as m_e.
    """

    map: Float[Array, "n h w c"]
    enhanced: Float[Array, "n h w c"]
    reduced: Float[Array, "n h w c"]
    normalized: Float[Array, "n h w c"]
    enhancement_mask: Float[Array, "n _ _ c"]
    reduction_mask: Float[Array, "n _ _ c"]


class InformationPurifier(nn.Module):
    """Two masks over a map and its instance-normalized twin, each applied to the other's product.

    Ren and Zhang, IDKL (CVPR 2024), section 3.2.

    Attributes:
        masks: `pooled`, one number for each channel, from the pooled map as in equation 8; or
            `per_pixel`, as in the released code, which does not pool.
        norm: `plain` instance norm (equation 7), or the released code's `affine` one, which also
            has running statistics.
        dtype: of the computation; parameters and statistics are float32.
    """

    masks: str = "pooled"
    norm: str = "plain"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Purified:
        if self.masks not in MASKS or self.norm not in NORMS:
            raise ValueError(f"no purifier with masks {self.masks!r} and norm {self.norm!r}")
        if self.norm == "affine":
            normalized = RunningInstanceNorm(self.dtype, name="norm")(x, train)
        else:
            normalized = instance_norm(x)
        pooled = self.masks == "pooled"
        enhancement = Mask(pooled, dtype=self.dtype, name="enhancement_mask")(x)
        reduction = Mask(pooled, dtype=self.dtype, name="reduction_mask")(normalized)
        enhanced, reduced = enhancement * x, reduction * normalized
        purified = enhancement * reduced + reduction * enhanced
        return Purified(purified, enhanced, reduced, normalized, enhancement, reduction)


class Mask(nn.Module):
    """sigmoid(W_2 relu(W_1 g(x))), a squeeze-and-excitation without biases (equation 8).

    g is the network's generalized mean, which the paper uses instead of averages. An average would
    not work: an instance-normalized map has average zero, and its mask would be 1/2 everywhere.

    Attributes:
        pooled: True for g and one number for each channel; False for one number for each channel
            and pixel, without g.
        ratio: the factor by which the channels are squeezed.
        dtype: of the computation; parameters are float32.
    """

    pooled: bool
    ratio: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n _ _ c"]:
        if self.pooled:
            x = generalized_mean(x, minimum=1e-6, epsilon=0.0)[:, None, None]
        channels = x.shape[-1]
        linear = partial(Linear, use_bias=False, kernel_init=LINEAR_INIT, dtype=self.dtype)
        x = linear(max(channels // self.ratio, 1), name="squeeze")(x)
        return nn.sigmoid(linear(channels, name="excite")(nn.relu(x)))
