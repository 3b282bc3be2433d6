"""A small method with phases, warnings and pictures: --config.method=helpers.phased_method."""

from typing import Any

import jax
import jax.numpy as jnp

from jreid.methods import Method, MetricWarning, Phase, Player


def create(config: Any) -> Any:
    """Two players on a linear layer each; the second joins after the first epoch of two."""

    def init(key, batch):
        return {
            "params": {name: 0.1 * jax.random.normal(key, (3, 4)) for name in ("a", "b")},
            "memory": {"steps": jnp.zeros(())},
        }

    def player(name, factor):
        def loss(params, model_state, batch, key, epoch):
            noise = jax.random.normal(key, (3, 4))
            means = batch["visible"].mean((1, 2)) - batch["infrared"].mean((1, 2))
            value = factor * ((means @ (params[name] + 0.1 * noise)) ** 2).mean()
            memory = {"memory": {"steps": model_state["memory"]["steps"] + 1}}
            return value, ({"factor": jnp.float32(factor)}, memory)

        return Player(name, lambda path: path == name, loss, config.optimizer)

    def embed(variables, images, modality):
        return images.mean((1, 2)) @ (variables["params"]["a"] + variables["params"]["b"])

    def dark(variables, images, modality):
        return jnp.clip(images, 0, 0.5)

    return Method(
        init,
        (
            Phase("warm", (player("a", 1.0),), 1),
            Phase("main", (player("a", 2.0), player("b", 3.0))),
        ),
        embed,
        {"dark": dark},
        metric_warnings=(
            MetricWarning("b/factor", lambda x: x > 2.5, "it is too much"),
            MetricWarning("b/factor", lambda x: x.min() > 2.5, "it stays high", range(2)),
        ),
    )
