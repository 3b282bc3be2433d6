"""PFANet's generators of images in the other modality, and its discriminators of real ones.

All work on pixels in -1..1. Convolutions start from Normal(0, 0.02) and biases from 0, as in
CycleGAN. The paper does not give the layers; they are those of AlignGAN's code.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jreid.nn.layers import Conv
from jreid.nn.normalization import InstanceNorm, instance_norm
from jreid.nn.resize import resize

DEEPEST = 16  # times the width: 1024 channels at a width of 64
NORMAL = nn.initializers.normal(0.02)
IMAGE_STAGES = 3  # of the joint discriminator, before features join

_conv = partial(Conv, use_bias=False, kernel_init=NORMAL, bias_init=nn.initializers.zeros)


class Generator(nn.Module):
    """An image as the other modality would show it: convolutions, residual blocks, tanh.

    Two strided convolutions, residual blocks at a quarter of the size, two transposed convolutions;
    instance norm with scale and bias after each but the last, always with the image's own
    statistics (AlignGAN's code tests with running ones). 6,053,504 parameters.

    Attributes:
        width: channels of the first map.
        residual_blocks: 4; CycleGAN has 6 for images of 128 pixels and 9 for larger ones.
        dtype: of the convolutions; parameters are float32.
    """

    width: int = 64
    residual_blocks: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Pixels in -1..1 to pixels in -1..1; height and width must be multiples of 4."""
        if images.shape[1] % 4 or images.shape[2] % 4:
            raise ValueError(f"images of {images.shape[1:3]} cannot be divided by 4")
        x = self._stage(images, self.width, 7, 1, "input")
        x = self._stage(x, 2 * self.width, 4, 2, "down1")
        x = self._stage(x, 4 * self.width, 4, 2, "down2")
        for i in range(self.residual_blocks):
            y = self._stage(x, x.shape[-1], 3, 1, f"block{i}_0")
            y = _conv(x.shape[-1], 3, 1, dtype=self.dtype, name=f"block{i}_1")(y)
            x = x + InstanceNorm(self.dtype, name=f"block{i}_1_norm")(y)
        for i, width in ((1, 2 * self.width), (2, self.width)):
            x = Deconv(width, self.dtype, name=f"up{i}")(x)
            x = nn.relu(InstanceNorm(self.dtype, name=f"up{i}_norm")(x))
        x = _conv(3, 7, 1, dtype=self.dtype, name="output")(x)
        return jnp.tanh(x.astype(jnp.float32))

    def _stage(self, x: Array, features: int, size: int, stride: int, name: str) -> Array:
        x = _conv(features, size, stride, dtype=self.dtype, name=name)(x)
        return nn.relu(InstanceNorm(self.dtype, name=f"{name}_norm")(x))


class ImageDiscriminator(nn.Module):
    """Judges how real the patches of an image look: convolutions with strides, then one channel.

    PatchGAN (Isola et al., 2017): 11,155,392 parameters, a map of 4 x 4 for 128 x 128 pixels.

    Attributes:
        width: channels of the first map; each further one has twice as many, 16 times at most.
        stages: strided convolutions; fewer for smaller images.
        dtype: of the convolutions; parameters are float32.
    """

    width: int = 64
    stages: int = 5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n i j 1"]:
        """Logits of patches, float32."""
        x = images
        for stage in range(self.stages):
            x = _stage(x, stage, self.width, self.dtype)
        return _patches(x, self.dtype)


class JointDiscriminator(nn.Module):
    """Judges how real a pair of an image and a feature map looks (Wang et al., AlignGAN).

    After three strided convolutions of the image, the feature map joins it, reduced to few channels
    and resized. 11,810,816 parameters, a map of 4 x 4 for 128 x 128 pixels.

    Attributes:
        width: channels of the first map, and of the reduced features.
        stages: strided convolutions, four or more; fewer for smaller images.
        dtype: of the convolutions; parameters are float32.
    """

    width: int = 64
    stages: int = 5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "n h w 3"],
        features: Float[Array, "n p q c"],
        silent: bool = False,
    ) -> Float[Array, "n i j 1"]:
        """Logits of patches, float32.

        Args:
            silent: judge the image alone, with zeros in place of the reduced features.
        """
        if self.stages <= IMAGE_STAGES:
            raise ValueError(
                f"a joint discriminator needs more than {IMAGE_STAGES} stages, not {self.stages}"
            )
        x = images
        for stage in range(IMAGE_STAGES):
            x = _stage(x, stage, self.width, self.dtype)
        reduced = _conv(self.width, 1, use_bias=True, dtype=self.dtype, name="features")(features)
        joining = resize(_leaky(reduced), x.shape[1:3])
        joining = jnp.zeros_like(joining) if silent else joining
        x = jnp.concatenate([x, joining], axis=-1)
        for stage in range(IMAGE_STAGES, self.stages):
            x = _stage(x, stage, self.width, self.dtype)
        return _patches(x, self.dtype)


class Deconv(nn.Module):
    """A transposed convolution of 4x4 that doubles height and width, without bias.

    PyTorch's `ConvTranspose2d(c, features, 4, stride=2, padding=1)`, with the kernel turned by 180
    degrees.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n 2*h 2*w features"]:
        n, h, w, c = x.shape
        kernel = self.param("kernel", NORMAL, (4, 4, c, self.features), jnp.float32)
        # Even rows of the result take the kernel's even rows, odd ones its odd rows; so do columns.
        # Each of the four is a convolution of 2x2. Together they are one product of matrices, since
        # XLA computes the gradient of a transposed convolution's kernel slowly on CPUs.
        # Not x[:, i:]: with a symbolic number of images, it gathers: no export to ONNX.
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = [
            lax.slice(padded, (0, i, j, 0), (n, i + h + 1, j + w + 1, c))
            for i in range(2)
            for j in range(2)
        ]
        even_odd = kernel.astype(self.dtype).reshape(2, 2, 2, 2, c, self.features)
        four = even_odd.transpose(0, 2, 4, 1, 3, 5).reshape(4 * c, 4 * self.features)
        y = jnp.concatenate(windows, axis=3).reshape(-1, 4 * c) @ four
        y = y.reshape(n, h + 1, w + 1, 2, 2, self.features)
        rows = [jnp.concatenate([_quarter(y, i, j) for j in range(2)], axis=4) for i in range(2)]
        return jnp.concatenate(rows, axis=2).reshape(n, 2 * h, 2 * w, self.features)


def _quarter(y: Float[Array, "n i j 2 2 d"], row: int, column: int) -> Float[Array, "n h 1 w 1 d"]:
    """The part of a transposed convolution's result in its even or odd rows and columns."""
    n, h, w, d = y.shape[0], y.shape[1] - 1, y.shape[2] - 1, y.shape[-1]
    stop = n, row + h, column + w, row + 1, column + 1, d
    return lax.slice(y, (0, row, column, row, column, 0), stop).reshape(n, h, 1, w, 1, d)


def _stage(x: Array, stage: int, width: int, dtype: Any) -> Array:
    """A discriminator's strided convolution; the first has no norm."""
    features = width * min(2**stage, DEEPEST)
    x = _conv(features, 4, 2, use_bias=True, dtype=dtype, name=f"down{stage}")(x)
    return _leaky(instance_norm(x) if stage else x)


def _patches(x: Array, dtype: Any) -> Array:
    return _conv(1, 3, 1, dtype=dtype, name="output")(x).astype(jnp.float32)


def _leaky(x: Array) -> Array:
    return nn.leaky_relu(x, 0.2)
