"""Losses, parts of networks and the evaluation of jreid, without its command line.

python examples/minimal.py

The people are made up: each wears colors of their own, and infrared images show how bright these
are. It trains on 16 people and searches for 16 others.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jreid.evaluation import cmc_map, mean_metrics
from jreid.losses import batch_hard_triplet, cross_entropy
from jreid.nn import BatchNorm, BatchNormNeck, Classifier, generalized_mean

PEOPLE, IMAGES = 16, 4
IDENTITY = np.repeat(np.arange(PEOPLE), IMAGES)


class Network(nn.Module):
    """Images of both modalities to pooled features, embeddings and logits; visible rows first."""

    @nn.compact
    def __call__(self, visible, infrared, train: bool):
        stems = [nn.Conv(16, (3, 3), 2)(images) for images in (visible, infrared)]
        maps = nn.relu(BatchNorm()(nn.Conv(32, (3, 3), 2)(nn.relu(jnp.concatenate(stems))), train))
        pooled = generalized_mean(maps)
        embedding = BatchNormNeck()(pooled, train)
        return pooled, embedding, Classifier(PEOPLE)(embedding)


def make_images(seed: int) -> list[np.ndarray]:
    """Visible and infrared images `[N, 16, 8, 3]` of new people, in the order of `IDENTITY`."""
    rng = np.random.default_rng(seed)
    visible = rng.uniform(-1, 1, (PEOPLE, 4, 1, 3)).repeat(4, axis=1).repeat(8, axis=2)[IDENTITY]
    infrared = visible.mean(-1, keepdims=True).repeat(3, -1)
    return [(x + 0.2 * rng.normal(size=x.shape)).astype(np.float32) for x in (visible, infrared)]


def main(steps: int = 100) -> tuple[float, float]:
    """Trains and returns the mAP of infrared queries, before and after."""
    network: Any = Network()
    images, both, optimizer = make_images(0), jnp.tile(IDENTITY, 2), optax.adam(3e-3)
    variables = jax.jit(network.init, static_argnums=3)(jax.random.key(0), *images, False)

    def loss(params, batch_stats):
        variables = {"params": params, "batch_stats": batch_stats}
        (pooled, _, logits), new = network.apply(variables, *images, True, mutable=["batch_stats"])
        total = cross_entropy(logits, both) + batch_hard_triplet(pooled, both, margin=0.3)
        return total, new["batch_stats"]

    @jax.jit
    def step(variables, state):
        gradients, statistics = jax.grad(loss, has_aux=True)(
            variables["params"], variables["batch_stats"]
        )
        updates, state = optimizer.update(gradients, state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, "batch_stats": statistics}, state

    def mean_average_precision() -> float:
        _, embedding, _ = network.apply(variables, *make_images(1), False)
        gallery, query = np.split(np.asarray(embedding), 2)
        return mean_metrics(cmc_map(query, gallery, IDENTITY, IDENTITY)).mean_average_precision

    before, state = mean_average_precision(), optimizer.init(variables["params"])
    for _ in range(steps):
        variables, state = step(variables, state)
    return before, mean_average_precision()


if __name__ == "__main__":
    print("mAP of infrared queries: {:.1%} before training, {:.1%} after".format(*main()))
