"""Batch, instance and mixed normalization with PyTorch's numerics; statistics are float32."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jreid.errors import InputError

EPSILON = 1e-5
MOMENTUM = 0.9  # PyTorch calls the same rate 0.1


class BatchNorm(nn.Module):
    """Normalizes over all axes but the last (Ioffe and Szegedy, 2015).

    The running variance is the unbiased one, n / (n - 1) times the batch's. Under jit, a batch that
    is sharded over a mesh with Auto axes has one set of statistics, those of the global batch.

    Attributes:
        dtype: of the output; parameters and statistics are float32.
        scale_init: of the scale.
        frozen_bias: keep the bias, which is zero, with the running statistics instead of the
            parameters: no optimizer updates it, and only imported weights change it.
    """

    dtype: Any = jnp.float32
    scale_init: Initializer = nn.initializers.ones
    frozen_bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"], train: bool) -> Float[Array, "*n c"]:
        """Uses the batch's statistics and updates the running ones if `train`.

        Raises:
            ValueError: training gets only one value for each channel, which has no variance.
        """
        features = x.shape[-1:]
        scale = self.param("scale", self.scale_init, features, jnp.float32)
        bias = self._bias(features)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, jnp.float32)
        x = x.astype(jnp.float32)
        if train:
            mean, var = _moments(x, axes=tuple(range(x.ndim - 1)))
        else:
            mean, var = running_mean.value, running_var.value
        if train and not self.is_initializing():
            count = x.size // x.shape[-1]
            if count == 1:
                raise ValueError(f"batch statistics need more than one value: got {x.shape}")
            unbiased = var * (count / (count - 1))
            _move(running_mean, mean)
            _move(running_var, unbiased)
        return _affine(_normalize(x, mean, var), scale, bias).astype(self.dtype)

    def _bias(self, shape: tuple[int, ...]) -> Any:
        if self.frozen_bias:
            return self.variable("batch_stats", "bias", jnp.zeros, shape, jnp.float32).value
        return self.param("bias", nn.initializers.zeros, shape, jnp.float32)


class InstanceNorm(nn.Module):
    """`instance_norm` followed by a learned scale and bias for each channel."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return _affine(instance_norm(x.astype(jnp.float32)), scale, bias).astype(self.dtype)


class RunningInstanceNorm(nn.Module):
    """Instance norm with a learned scale and bias, and running statistics for testing.

    `torch.nn.InstanceNorm2d(affine=True, track_running_stats=True)`: the running statistics follow
    the batch's average of each image's mean and unbiased variance.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        """Uses each image's statistics and updates the running ones if `train`.

        Raises:
            ValueError: training gets maps of only one position, which has no variance.
        """
        features = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, features, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, features, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, jnp.float32)
        x = x.astype(jnp.float32)
        if train:
            mean, var = _moments(x, axes=(1, 2), keepdims=True)
        else:
            mean, var = running_mean.value, running_var.value
        if train and not self.is_initializing():
            count = x.shape[1] * x.shape[2]
            if count == 1:
                raise InputError(
                    "an instance norm has no statistics of a map of one position; set "
                    "--config.image.size to larger images."
                )
            _move(running_mean, mean.mean((0, 1, 2)))
            _move(running_var, var.mean((0, 1, 2)) * (count / (count - 1)))
        return _affine(_normalize(x, mean, var), scale, bias).astype(self.dtype)


class InstanceBatchNorm(nn.Module):
    """IBN-a: instance norm on the first half of the channels, batch norm on the rest.

    Pan et al., "Two at Once" (ECCV 2018), section 3.2; `IN` and `BN` are the released code's names.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w c"]:
        channels = x.shape[-1]
        # Not x[..., :half]: with a symbolic number of images, it gathers: no export to ONNX.
        first = lax.slice_in_dim(x, 0, channels // 2, axis=-1)
        rest = lax.slice_in_dim(x, channels // 2, channels, axis=-1)
        first = InstanceNorm(self.dtype, name="IN")(first)
        return jnp.concatenate([first, BatchNorm(self.dtype, name="BN")(rest, train)], axis=-1)


def instance_norm(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Normalizes each channel of each image over its positions, by the biased variance.

    It has no scale, no bias and no running statistics (Ulyanov et al., 2016). Computed in float32,
    returned in the dtype of `x`.
    """
    values = x.astype(jnp.float32)
    return _normalize(values, *_moments(values, axes=(1, 2), keepdims=True)).astype(x.dtype)


def _moments(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> tuple[Array, Array]:
    """Mean and biased variance in two passes: mean(x^2) - mean(x)^2 is inexact in float32."""
    return jnp.mean(x, axes, keepdims=keepdims), jnp.var(x, axes, keepdims=keepdims)


def _move(running: Any, value: Array) -> None:
    """Moves a running statistic toward that of a batch."""
    running.value = MOMENTUM * running.value + (1 - MOMENTUM) * value


def _normalize(x: Array, mean: Any, var: Any) -> Array:
    return (x - _align(mean, x)) * _align(lax.rsqrt(var + EPSILON), x)


def _affine(x: Array, scale: Any, bias: Any) -> Array:
    return x * _align(scale, x) + _align(bias, x)


def _align(statistic: Any, x: Array) -> Any:
    """Adds leading axes, since callers may forbid implicit rank promotion."""
    return statistic.reshape((1,) * (x.ndim - statistic.ndim) + statistic.shape)
