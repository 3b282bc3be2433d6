"""A classifier of the modality that a feature came from."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.normalization import BatchNorm

MODALITIES = 2


class ModalityDiscriminator(nn.Module):
    """Two hidden layers, each with batch norm, ReLU and dropout, and two logits; in float32.

    This follows IDKL's released code; the paper does not describe its discriminators and
    confusers. Linear layers start as PyTorch's, except that biases are zero. When training,
    dropout needs the random key `dropout`.

    Attributes:
        hidden: width of the hidden layers.
        dropout: share of their outputs that is dropped.
    """

    hidden: int = 100
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: Float[Array, "n d"], train: bool) -> Float[Array, "n 2"]:
        linear = partial(Linear, kernel_init=LINEAR_INIT, bias_init=nn.initializers.zeros)
        x = x.astype(jnp.float32)
        for i in (1, 2):
            x = linear(self.hidden, name=f"fc{i}")(x)
            x = jax.nn.relu(BatchNorm(name=f"bn{i}")(x, train))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return linear(MODALITIES, name="fc3")(x)
