"""Layers for a pooled feature: the batch-norm neck and identity classifiers."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jreid.nn.layers import Linear
from jreid.nn.normalization import BatchNorm


def _near_one(key: Array, shape: Sequence[Any], dtype: Any = None, out_sharding: Any = None):
    return 1 + 0.01 * jax.random.normal(key, tuple(shape), dtype or jnp.float32)


class BatchNormNeck(BatchNorm):
    """BNNeck (Luo et al., 2019): batch norm with a bias that stays zero.

    The metric loss takes its input, the classifier its output. The bias is in `batch_stats`, where
    no optimizer updates it and only imported weights change it; the scale starts near one.
    """

    scale_init: Initializer = _near_one
    frozen_bias: bool = True


class Classifier(Linear):
    """Identity logits: a linear layer without bias, in float32, initialized by Normal(0, 0.001)."""

    use_bias: bool = False
    kernel_init: Initializer | None = nn.initializers.normal(0.001)


class FeatureClassifier(nn.Module):
    """Identity logits from several features, with a classifier for each feature.

    Attributes:
        identities: how many.
        hidden: of a linear layer with a ReLU before each classifier; 0 for none.
    """

    identities: int
    hidden: int = 0

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "n _"]]
    ) -> Float[Array, "m {self.identities}"]:
        """Row k * i + j is that of image i and its j-th feature of k."""
        logits = [self._logits(x, number) for number, x in enumerate(features)]
        return jnp.stack(logits, axis=1).reshape(-1, self.identities)

    def _logits(self, x: Array, number: int) -> Array:
        if self.hidden:
            hidden = Linear(
                self.hidden, False, nn.initializers.he_normal(), name=f"hidden_{number}"
            )
            x = nn.relu(hidden(x))
        return Classifier(self.identities, name=f"classifier_{number}")(x)
