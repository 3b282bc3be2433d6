"""The convolution and the linear layer of every network, with PyTorch's initialization."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

# PyTorch's initialization of a linear layer's kernel: `uniform`, except for rounding.
LINEAR_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@cache  # each layer asks for one each time that it is called
def uniform(inputs: int) -> Initializer:
    """PyTorch's initialization of a kernel and its bias: Uniform(+-1 / sqrt(inputs))."""

    def init(key: Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
        return jax.random.uniform(key, shape, dtype, -(inputs**-0.5), inputs**-0.5)

    return init


class Linear(nn.Module):
    """A linear layer on the last axis.

    Attributes:
        features: outputs.
        use_bias: whether there is one.
        kernel_init: `uniform` of the inputs if None.
        bias_init: as `kernel_init`.
        dtype: of the computation; parameters are float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n {self.features}"]:
        inputs = x.shape[-1]
        kernel_init = self.kernel_init or uniform(inputs)
        kernel = self.param("kernel", kernel_init, (inputs, self.features), jnp.float32)
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            bias_init = self.bias_init or uniform(inputs)
            bias = self.param("bias", bias_init, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[(None,) * (y.ndim - 1)]
        return y


class Conv(nn.Module):
    """A square convolution, padded on every side by half its size, less one if that is even.

    Attributes:
        features: output channels.
        size: of the kernel.
        stride: in both directions.
        groups: of the channels.
        use_bias: whether there is one.
        kernel_init: `uniform` of an output's inputs if None.
        bias_init: as `kernel_init`.
        product: compute a 1x1 convolution as a product of two matrices. On CPUs, XLA computes the
            gradient of a 1x1 convolution slowly, and also products of arrays with more dimensions.
        dtype: of the computation; parameters are float32.
    """

    features: int
    size: int
    stride: int = 1
    groups: int = 1
    use_bias: bool = True
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    product: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j {self.features}"]:
        inputs = x.shape[-1] // self.groups
        start = uniform(self.size**2 * inputs)
        shape = (self.size, self.size, inputs, self.features)
        kernel = self.param("kernel", self.kernel_init or start, shape, jnp.float32)
        y = self._convolve(x.astype(self.dtype), jnp.asarray(kernel, self.dtype))
        if self.use_bias:
            bias = self.param("bias", self.bias_init or start, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None]
        return y

    def _convolve(self, x: Array, kernel: Array) -> Array:
        if self._is_wide(x):
            return wide_convolution(x, kernel, self.stride)
        if self.size == 1 and self.groups == 1 and self.product:
            if self.stride > 1:  # not x[:, ::2, ::2]: with a symbolic number of images, it gathers
                x = lax.slice(x, (0, 0, 0, 0), x.shape, (1, self.stride, self.stride, 1))
            return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], -1)
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(self.stride, self.stride),
            padding=[((self.size - 1) // 2, (self.size - 1) // 2)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )

    def _is_wide(self, x: Array) -> bool:
        """Whether the kernel has more taps than the map has positions."""
        _, h, w, _ = x.shape
        return self.groups == 1 and self.size % 2 == 1 and h * w < self.size**2


def wide_convolution(
    x: Float[Array, "n h w c"], kernel: Float[Array, "size size c d"], stride: int = 1
) -> Float[Array, "n i j d"]:
    """A convolution with a kernel of odd size, padded by half of it, as one product of matrices.

    The matrix has a block for each pair of positions. Where the map has fewer positions than the
    kernel has taps, this is less work than the convolution, and XLA's convolution on CPUs takes
    about twenty times as long (`experiments.benchmarks.convolutions`).
    """
    n, h, w, c = x.shape
    half = len(kernel) // 2
    # Offsets between two positions are at most h - 1 and w - 1.
    more = [(max(length - 1 - half, 0),) * 2 for length in (h, w)]
    kernel = jnp.pad(kernel, (*more, (0, 0), (0, 0)))
    top, left = half + more[0][0], half + more[1][0]
    rows, columns = range(0, h, stride), range(0, w, stride)
    blocks = [
        kernel[top - i : top - i + h, left - j : left - j + w].reshape(h * w * c, -1)
        for i in rows
        for j in columns
    ]
    product = x.reshape(n, -1) @ jnp.concatenate(blocks, axis=1)
    return product.reshape(n, len(rows), len(columns), -1)
