"""A method whose network compiles in no time: --config.method=helpers.small_method."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jreid.losses import batch_hard_triplet
from jreid.methods import Method, Player

SIZE = (32, 16)


class Network(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        features = nn.Conv(8, (3, 3), strides=2)(images)
        features = nn.BatchNorm(use_running_average=not train, momentum=0.9)(features)
        return nn.Dense(16)(nn.relu(features).mean((1, 2)))


NETWORK = Network()


def loss(params, model_state, batch, key, epoch):
    images = jnp.stack([batch["visible"], batch["infrared"]], 1).reshape(-1, *SIZE, 3)
    features, after = NETWORK.apply(
        {"params": params, **model_state}, images, True, mutable=["batch_stats"]
    )
    return batch_hard_triplet(features, jnp.repeat(batch["identity"], 2), 0.3), ({}, after)


def create(config: Any) -> Any:
    """The method, to be trained as the config says."""
    return Method.single(
        lambda key, batch: NETWORK.init(key, batch["visible"], False),
        (Player("model", lambda path: True, loss, config.optimizer),),
        lambda variables, images, modality: NETWORK.apply(variables, images, False),
        {
            "input": lambda variables, images, modality: (
                images + variables["params"]["Dense_0"]["bias"][0]
            )
        },
    )
