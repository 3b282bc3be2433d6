"""Little training states."""

import jax
import jax.numpy as jnp

from jreid.distributed.mesh import make_mesh, replicated
from jreid.engine.state import TrainState


def state_of(step, width=3):
    return jax.device_put(
        TrainState(
            jnp.asarray(step, jnp.int32),
            {"kernel": jnp.full(width, step + 0.1)},
            {"batch_stats": {"mean": jnp.full(2, step + 0.2)}},
            {"model": {"kernel": jnp.full(width, step + 0.3)}},
        ),
        replicated(make_mesh()),
    )
