"""ResNets as in torchvision, and one of depth 10; each modality may have its own first stages."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.datasets import MODALITIES
from jreid.errors import InputError
from jreid.nn.attention import NonLocal
from jreid.nn.layers import Conv
from jreid.nn.max_pool import max_pool
from jreid.nn.normalization import BatchNorm, InstanceBatchNorm

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
STAGES = 5  # the stem and layer1 to layer4
HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

_conv = partial(Conv, use_bias=False, kernel_init=HE)


class ResNet(nn.Module):
    """He et al. (2016), with the stride in the 3x3 convolution as torchvision has it.

    Parameters are in the scope `shared` and, for the stages that are split, in one scope for each
    modality; below it the names are torchvision's, with `layer1_0` for `layer1.0`.

    Attributes:
        depth: 10, 18, 34 or 50.
        width: channels of the stem; 64 is the published network.
        last_stride: stride of layer4; 1 gives a total stride of 16.
        ibn: IBN-a, instance norm on half of the channels of each first convolution of layer1-3.
        split_stages: how many of the first stages have one copy for each modality: 0 none, 1 the
            stem, 2 the stem and layer1, up to 5.
        modalities: their names, in the order in which their rows are interleaved.
        non_local: how many of the last blocks of layer1-4 are followed by a non-local block.
        block_module: makes a named module for every residual block, which is applied before the
            sum; called with a map and `train`, it returns a map of that shape.
        stage_modules: makes such modules for layer 1 to 4, applied after the layer in their order.
        rematerialize: keep only the maps between residual blocks for the backward pass, and
            compute the maps within each block again there: less memory, more time.
        dtype: of the convolutions and the maps; parameters and statistics are float32.
    """

    depth: int = 50
    width: int = 64
    last_stride: int = 1
    ibn: bool = False
    split_stages: int = 0
    modalities: tuple[str, ...] = MODALITIES
    non_local: Sequence[int] = (0, 0, 0, 0)
    block_module: Callable[[], nn.Module] | None = None
    stage_modules: Callable[[int], Sequence[nn.Module]] | None = None
    rematerialize: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> tuple[Float[Array, "m _h _w _c"], ...]:
        """The maps of layer1 to layer4.

        Args:
            images: by modality, all of one shape; every modality when initializing.
            train: whether batch norm uses the statistics of this batch.

        Returns:
            Four maps with M x n rows for M modalities given: row M * i + m is image i of the m-th
            of them, in the order of `modalities`.

        Raises:
            InputError: depth, split_stages or non_local cannot be built.
            ValueError: a modality is unknown, or missing when initializing.
        """
        return tuple(self._leading(images, train, STAGES)[-4:])

    def _leading(self, images: Mapping[str, Array], train: bool, stages: int) -> list[Array]:
        """The maps of the first `stages` stages, and at least of all that are split."""
        self._check(images)
        given = [name for name in self.modalities if name in images]
        maps = []
        x = [jnp.asarray(images[name], self.dtype) for name in given]
        if self.split_stages:
            split = range(self.split_stages)
            separate = [
                self._stages(split, name)(x_m, train) for name, x_m in zip(given, x, strict=True)
            ]
            maps = [interleave(stage) for stage in zip(*separate, strict=True)]
        if self.split_stages < stages:
            x = maps[-1] if maps else interleave(x)
            maps += self._stages(range(self.split_stages, stages), "shared")(x, train)
        return maps

    def _stages(self, stages: range, name: str) -> "Stages":
        return Stages(
            stages,
            self.depth,
            self.width,
            self.last_stride,
            self.ibn,
            self.non_local,
            self.block_module,
            self.stage_modules,
            self.rematerialize,
            self.dtype,
            name=name,
        )

    def _check(self, images: Mapping[str, Array]) -> None:
        if self.depth not in BLOCKS:
            raise InputError(f"config.backbone.depth={self.depth} must be 10, 18, 34 or 50.")
        if not 0 <= self.split_stages <= STAGES:
            raise InputError(
                f"config.backbone.split_stages={self.split_stages} must be from 0 to {STAGES}."
            )
        blocks = BLOCKS[self.depth]
        pairs = zip(self.non_local, blocks, strict=False)
        if len(self.non_local) != 4 or any(not 0 <= n <= limit for n, limit in pairs):
            raise InputError(
                f"config.backbone.non_local={self.non_local} must be four numbers, at most "
                f"{blocks}, which are the blocks of layer1 to layer4 of a ResNet-{self.depth}."
            )
        expected = set(self.modalities) if self.is_initializing() else set(images)
        if not images or not set(images) <= set(self.modalities) or set(images) != expected:
            raise ValueError(f"images of {sorted(images)} given, modalities: {self.modalities}")


class Stages(nn.Module):
    """Consecutive stages of a ResNet: stage 0 is the stem, stage s is layer s."""

    stages: range
    depth: int
    width: int
    last_stride: int
    ibn: bool
    non_local: Sequence[int]
    block_module: Callable[[], nn.Module] | None
    stage_modules: Callable[[int], Sequence[nn.Module]] | None
    rematerialize: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> list[Float[Array, "n _h _w _c"]]:
        """The map after each of the stages."""
        maps = []
        for stage in self.stages:
            x = self._layer(x, stage, train) if stage else self._stem(x, train)
            maps.append(x)
        return maps

    def _stem(self, x: Array, train: bool) -> Array:
        x = _conv(self.width, 7, 2, dtype=self.dtype, name="conv1")(x)
        return max_pool(nn.relu(BatchNorm(self.dtype, name="bn1")(x, train)))

    def _layer(self, x: Array, stage: int, train: bool) -> Array:
        block: Any = Bottleneck if self.depth == 50 else BasicBlock
        if self.rematerialize:
            block = nn.remat(block, static_argnums=(2,))  # all but `train`
        # XLA for GPUs (JAX 0.11.2) aborts where it compiles a rematerialized block's products.
        products = not self.rematerialize
        width = self.width * 2 ** (stage - 1)
        blocks, non_local = BLOCKS[self.depth][stage - 1], self.non_local[stage - 1]
        first_stride = (1, 2, 2, self.last_stride)[stage - 1]
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            ibn = self.ibn and stage < 4
            options = (width, stride, ibn, self.block_module, products, self.dtype)
            x = block(*options, name=f"layer{stage}_{i}")(x, train)
            number = i - (blocks - non_local)
            if number >= 0:
                x = NonLocal(dtype=self.dtype, name=f"layer{stage}_non_local_{number}")(x, train)
        for module in self.stage_modules(stage) if self.stage_modules else ():
            x = module(x, train)
        return x


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    width: int
    stride: int
    ibn: bool
    block_module: Callable[[], nn.Module] | None
    products: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n i j d"]:
        y = _conv(self.width, 3, self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(_first_norm(self.ibn)(self.dtype, name="bn1")(y, train))
        y = _conv(self.width, 3, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(self.dtype, name="bn2")(y, train)
        if self.block_module is not None:
            y = self.block_module()(y, train)
        shortcut = _shortcut(x, self.width, self.stride, train, self.products, self.dtype)
        return nn.relu(y + shortcut)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, and a shortcut."""

    width: int
    stride: int
    ibn: bool
    block_module: Callable[[], nn.Module] | None
    products: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n i j d"]:
        y = _conv(self.width, 1, product=self.products, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(_first_norm(self.ibn)(self.dtype, name="bn1")(y, train))
        y = _conv(self.width, 3, self.stride, dtype=self.dtype, name="conv2")(y)
        y = nn.relu(BatchNorm(self.dtype, name="bn2")(y, train))
        y = _conv(4 * self.width, 1, product=self.products, dtype=self.dtype, name="conv3")(y)
        y = BatchNorm(self.dtype, name="bn3")(y, train)
        if self.block_module is not None:
            y = self.block_module()(y, train)
        shortcut = _shortcut(x, 4 * self.width, self.stride, train, self.products, self.dtype)
        return nn.relu(y + shortcut)


def interleave(maps: list[Array] | tuple[Array, ...]) -> Array:
    """Joins M arrays of n rows: row M * i + m is row i of the m-th.

    Stacking keeps a batch that is sharded by rows where it is; concatenating would move it.
    """
    return jnp.stack(maps, axis=1).reshape(-1, *maps[0].shape[1:])


def _first_norm(ibn: bool) -> type[BatchNorm] | type[InstanceBatchNorm]:
    return InstanceBatchNorm if ibn else BatchNorm


def _shortcut(
    x: Array, features: int, stride: int, train: bool, product: bool, dtype: Any
) -> Array:
    """The block's input, projected where its shape changes. Called within the block's scope."""
    if x.shape[-1] == features and stride == 1:
        return x
    x = _conv(features, 1, stride, product=product, dtype=dtype, name="downsample_0")(x)
    return BatchNorm(dtype, name="downsample_1")(x, train)
