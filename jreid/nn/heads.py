"""What stands on a pooled feature: the batch-norm neck and the identity classifier."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jreid.nn.normalization import BatchNorm


def _near_one(key: Array, shape: Sequence[Any], dtype: Any = None, out_sharding: Any = None):
    return 1 + 0.01 * jax.random.normal(key, tuple(shape), dtype or jnp.float32)


class BatchNormNeck(BatchNorm):
    """BNNeck (Luo et al., 2019): batch norm with a bias that stays zero.

    The metric loss goes before it, the classifier behind it. The bias lies in `batch_stats`, where
    no optimiser sees it and only imported weights change it; the scale starts near one.
    """

    scale_init: Initializer = _near_one
    frozen_bias: bool = True


class Classifier(nn.Module):
    """Identity logits: a linear layer without bias, in float32, started from Normal(0, 0.001)."""

    identities: int

    @nn.compact
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n identities"]:
        shape = (x.shape[-1], self.identities)
        kernel = self.param("kernel", nn.initializers.normal(0.001), shape, jnp.float32)
        return x.astype(jnp.float32) @ kernel


class FeatureClassifier(nn.Module):
    """Identity logits by each of several features, a classifier for each.

    Attributes:
        identities: how many.
        hidden: of a linear layer with a ReLU before each classifier; 0 for none.
    """

    identities: int
    hidden: int = 0

    @nn.compact
    def __call__(self, features: Sequence[Float[Array, "n _"]]) -> Float[Array, "n*k identities"]:
        """Row k * i + j is image i's, by its j-th feature of k."""
        logits = [self._logits(x, number) for number, x in enumerate(features)]
        return jnp.stack(logits, axis=1).reshape(-1, self.identities)

    def _logits(self, x: Array, number: int) -> Array:
        if self.hidden:
            start = nn.initializers.he_normal()
            name = f"hidden_{number}"
            x = nn.relu(nn.Dense(self.hidden, use_bias=False, kernel_init=start, name=name)(x))
        return Classifier(self.identities, name=f"classifier_{number}")(x)
