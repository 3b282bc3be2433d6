"""A run's folder with an untrained small network, made without data or TensorFlow."""

from pathlib import Path

import jax
import jax.numpy as jnp

from jreid import config as configs
from jreid.engine.model import Model
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.run import Run


def make_run(workdir: Path, *flags: str, method: str = "helpers.small_method") -> Path:
    """Writes the run, with a checkpoint at step 0, and returns its folder."""
    config = configs.load("agw:tiny", [f"--config.method={method}", *flags])
    model, run = Model(config), Run(workdir)
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        checkpoints.save(model.state(model.variables()))
        checkpoints.finish()
        run.claim(config, None, start={"kind": "random"})
    return workdir


def save_another(workdir: Path) -> None:
    """Saves other weights as step 1, as a training in another process may do at any time."""
    model = Model(Run(workdir).config())
    state = model.state(model.variables()).replace(step=jnp.asarray(1, jnp.int32))
    state = state.replace(params=jax.tree.map(lambda array: array + 1, state.params))
    with Checkpoints(workdir / "checkpoints", writes=True) as checkpoints:
        checkpoints.save(state)
