"""A run's folder with an untrained small network, made without data or TensorFlow."""

from pathlib import Path

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
