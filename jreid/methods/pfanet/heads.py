"""The heads of PFANet's extractor: the embedding for triplets, and the identity classifier."""

import flax.linen as nn
from jaxtyping import Array, Float

from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.normalization import BatchNorm


class BottleneckClassifier(nn.Module):
    """Identity logits through a narrow layer: linear, batch norm, activation, dropout, linear.

    PFANet (2022), section 4.1. The paper does not give the order of activation and dropout.
    AlignGAN's code applies dropout to the input instead, and has a leaky activation. In float32.

    Attributes:
        identities: how many logits.
        width: of the narrow layer.
        dropout: the share of numbers that are dropped in training.
        dropout_place: `bottleneck`, before the logits, or `input`.
        activation: `relu` or `leaky_relu`, with a slope of 0.1.
    """

    identities: int
    width: int = 256
    dropout: float = 0.5
    dropout_place: str = "bottleneck"
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Float[Array, "n d"], train: bool) -> Float[Array, "n identities"]:
        """Needs a random key `dropout` to train."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = drop(x) if self.dropout_place == "input" else x
        x = BatchNorm(name="norm")(Embedder(self.width, name="reduce")(x), train)
        x = nn.relu(x) if self.activation == "relu" else nn.leaky_relu(x, 0.1)
        x = drop(x) if self.dropout_place == "bottleneck" else x
        return Embedder(self.identities, name="logits")(x)


class Embedder(nn.Module):
    """A linear layer with bias, in float32; kernel from Uniform(+-1 / sqrt(inputs)), bias 0."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n width"]:
        zeros = nn.initializers.zeros
        return Linear(self.width, True, LINEAR_INIT, zeros, name="linear")(x)
