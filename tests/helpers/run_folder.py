"""What a run's folder holds."""

import json
from pathlib import Path
from typing import Any

import jax

from jreid.config import read
from jreid.engine.model import Model
from jreid.runs.checkpoints import Checkpoints


def rows_of(workdir: Path) -> list[dict[str, Any]]:
    """The rows of its result."""
    return json.loads((workdir / "result.json").read_text())["rows"]


def metrics_of(workdir: Path) -> list[dict[str, Any]]:
    """The lines of its log without the one number that differs from run to run."""
    lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) | {"images_per_second": None} for line in lines]


def state_of(workdir: Path) -> Any:
    """The training state of its newest checkpoint."""
    model = Model(read(workdir / "config.json"))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return jax.device_get(
            checkpoints.restore(checkpoints.newest(), model.shapes(), model.sharding)
        )
