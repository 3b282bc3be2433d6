"""Losses, parts of networks and the evaluation of jreid, without its command line.

python examples/minimal.py

The data are made up: each identity wears colors of its own, and infrared images show how bright
these are. It trains on 16 identities and searches for 16 others.
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

IDENTITIES, IMAGES = 16, 4


class Network(nn.Module):
    """Images of a modality to pooled features, embeddings and logits."""

    @nn.compact
    def __call__(self, visible, infrared, train: bool):
        stems = [nn.Conv(16, (3, 3), 2)(visible), nn.Conv(16, (3, 3), 2)(infrared)]
        maps = nn.relu(BatchNorm()(nn.Conv(32, (3, 3), 2)(nn.relu(jnp.concatenate(stems))), train))
        pooled = generalized_mean(maps)
        embedding = BatchNormNeck()(pooled, train)
        return pooled, embedding, Classifier(IDENTITIES)(embedding)


def make_images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visible and infrared images `[N, 16, 8, 3]` of new people, and the identity of each row."""
    identity = np.repeat(np.arange(IDENTITIES), IMAGES)
    clothes = np.repeat(rng.uniform(-1, 1, (IDENTITIES, 4, 1, 3)), 4, axis=1)
    visible = np.broadcast_to(clothes[identity], (len(identity), 16, 8, 3))
    infrared = visible.mean(-1, keepdims=True).repeat(3, -1)
    visible, infrared = (x + 0.2 * rng.normal(size=x.shape) for x in (visible, infrared))
    return visible.astype(np.float32), infrared.astype(np.float32), identity


def main(steps: int = 100) -> tuple[float, float]:
    """Trains and returns the mAP of infrared queries, before and after."""
    network: Any = Network()
    rng, optimizer = np.random.default_rng(0), optax.adam(3e-3)
    visible, infrared, identity = make_images(rng)
    initialize = jax.jit(network.init, static_argnames="train")
    variables = initialize(jax.random.key(0), visible, infrared, train=False)
    params, statistics = variables["params"], variables["batch_stats"]

    def loss(params, statistics):
        (pooled, _, logits), updated = network.apply(
            {"params": params, "batch_stats": statistics},
            *(visible, infrared, True),
            mutable=["batch_stats"],
        )
        both = jnp.tile(identity, 2)
        total = cross_entropy(logits, both) + batch_hard_triplet(pooled, both, margin=0.3)
        return total, updated["batch_stats"]

    @jax.jit
    def step(params, statistics, state):
        gradients, statistics = jax.grad(loss, has_aux=True)(params, statistics)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), statistics, state

    def evaluate(params, statistics) -> float:
        new_visible, new_infrared, people = make_images(np.random.default_rng(1))
        variables = {"params": params, "batch_stats": statistics}
        _, embedding, _ = network.apply(variables, new_visible, new_infrared, train=False)
        gallery, query = np.split(np.asarray(embedding), 2)
        return mean_metrics(cmc_map(query, gallery, people, people)).mean_average_precision

    before, state = evaluate(params, statistics), optimizer.init(params)
    for _ in range(steps):
        params, statistics, state = step(params, statistics, state)
    return before, evaluate(params, statistics)


if __name__ == "__main__":
    print("mAP of infrared queries: {:.1%} before training, {:.1%} after".format(*main()))
