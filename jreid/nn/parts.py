"""Fine-grained features: horizontal stripes of a map, each with its own transform."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.nn.normalization import BatchNorm
from jreid.nn.pooling import POOLING


class Parts(nn.Module):
    """One vector for each horizontal stripe: pooling, 1x1 convolution, batch norm, ReLU.

    Sun et al., Beyond Part Models (PCB, ECCV 2018), section 3.1, with the batch norm and ReLU of
    the code of Liu, Tan and Zhou (HcTri, TMM 2020). Stripes share no parameters. After pooling, the
    1x1 convolution is a product with a matrix, in float32 for any type of map.

    Attributes:
        n: number of stripes, from head to foot; divides the map's height.
        dim: numbers that describe each stripe.
        pool: a name of `POOLING`.
    """

    n: int
    dim: int
    pool: str = "average"

    @nn.compact
    def __call__(self, x: Float[Array, "m h w c"], train: bool) -> Float[Array, "m n dim"]:
        """
        Raises:
            InputError: the map's rows cannot be divided into n stripes of the same height.
        """
        images, height, width, channels = x.shape
        if height % self.n:
            raise InputError(
                f"a feature map of {height} rows cannot be cut into {self.n} equal parts; set "
                "--config.mutual_prediction.parts.n to another number, or --config.image.size to "
                "another height."
            )
        stripes = x.reshape(images * self.n, height // self.n, width, channels)
        pooled = POOLING[self.pool](stripes).reshape(images, self.n, channels)
        start = nn.initializers.he_normal(in_axis=-2, out_axis=-1, batch_axis=0)
        kernel = self.param("kernel", start, (self.n, channels, self.dim), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.n, self.dim), jnp.float32)
        described = jnp.einsum("mnc,ncd->mnd", pooled, kernel) + bias[None]
        # Batch norm normalizes each channel alone, so one batch norm keeps the stripes apart.
        normal = BatchNorm(name="norm")(described.reshape(images, -1), train)
        return nn.relu(normal).reshape(described.shape)


class PartClassifier(nn.Module):
    """Identity logits of each part: a linear layer with bias for each, with `Classifier`'s init."""

    identities: int

    @nn.compact
    def __call__(self, x: Float[Array, "m n d"]) -> Float[Array, "m n identities"]:
        _, parts, inputs = x.shape
        shape = (parts, inputs, self.identities)
        kernel = self.param("kernel", nn.initializers.normal(0.001), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (parts, self.identities), jnp.float32)
        return jnp.einsum("mnd,ndi->mni", x.astype(jnp.float32), kernel) + bias[None]
