"""PFINet's feature pyramid, which adds the meaning of high levels to the maps of low levels."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.layers import Conv
from jreid.nn.resize import resize

PYRAMIDS = ("code", "literal", "fpn256")


class Pyramid(nn.Module):
    """From a backbone's maps C_1 to C_4 to P_4, P_3, ... of the same heights and widths.

    PFINet (CVM 2022), section 3.2. There is no norm and no activation; every convolution has a
    bias, BI is bilinear up-sampling, and all widths follow from the maps.

    Attributes:
        kind: `code`, as the released code builds it: T_4 = P_4 = C_4, and below it
            T_i = BI(conv1x1(T_{i+1})) + conv1x1(C_i) and P_i = conv3x3(T_i), as wide as C_i.
            `literal`, equation 3 as printed: P_4 = C_4, P_i = BI(C_{i+1}) + conv3x3(C_i), as wide
            as C_{i+1}, so that each level gets the meaning of only the next higher one. `fpn256`,
            the Feature Pyramid Network that the paper follows (Lin et al., 2017): as `code`, with
            T_4 = conv1x1(C_4) and P_4 = conv3x3(T_4), the sum as it is and all levels as wide as
            C_1, 256 in a ResNet-50.
        lowest: the lowest level to compute, 1 to 4.
        dtype: of the computation; parameters are float32.
    """

    kind: str = "code"
    lowest: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: Sequence[Float[Array, "n _ _ _"]]) -> list[Float[Array, "n _ _ _"]]:
        """The levels from the top down: P_4, P_3, ... to the lowest.

        Raises:
            ValueError: an unknown kind, or a level that does not exist.
        """
        if self.kind not in PYRAMIDS or self.lowest not in (1, 2, 3, 4):
            raise ValueError(f"no pyramid {self.kind!r} down to level {self.lowest}")
        build = {"code": self._code, "literal": self._literal, "fpn256": self._fpn256}[self.kind]
        return build([jnp.asarray(x, self.dtype) for x in maps])

    def _code(self, maps: list[Array]) -> list[Array]:
        x = maps[3]
        levels = [x]
        for level in self._below_the_top():
            here = maps[level - 1]
            width = here.shape[-1]
            # The code enlarges before its 1x1 convolution. Both are linear, and the weights of BI
            # sum to one, so this order gives the same result with a quarter of the work.
            above = resize(self._conv(width, 1, f"top_down{level}")(x), here.shape[1:3])
            x = above + self._conv(width, 1, f"lateral{level}")(here)
            levels.append(self._conv(width, 3, f"output{level}")(x))
        return levels

    def _literal(self, maps: list[Array]) -> list[Array]:
        levels = [maps[3]]
        for level in self._below_the_top():
            here, above = maps[level - 1], maps[level]
            x = self._conv(above.shape[-1], 3, f"output{level}")(here)
            levels.append(resize(above, here.shape[1:3]) + x)
        return levels

    def _fpn256(self, maps: list[Array]) -> list[Array]:
        width = maps[0].shape[-1]
        x = self._conv(width, 1, "lateral4")(maps[3])
        levels = [self._conv(width, 3, "output4")(x)]
        for level in self._below_the_top():
            here = self._conv(width, 1, f"lateral{level}")(maps[level - 1])
            x = resize(x, here.shape[1:3]) + here
            levels.append(self._conv(width, 3, f"output{level}")(x))
        return levels

    def _below_the_top(self) -> range:
        return range(3, self.lowest - 1, -1)

    def _conv(self, features: int, size: int, name: str) -> Conv:
        return Conv(features, size, dtype=self.dtype, name=name)
