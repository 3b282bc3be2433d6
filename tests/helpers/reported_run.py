"""A run with a result, made without training: what `jreid report` needs."""

import json
from pathlib import Path
from typing import Any

from helpers.paths import ROOT
from jreid import config as configs
from jreid.engine.model import Model
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.evaluate import evaluate_run
from jreid.runs.protocols import described, draw_protocols
from jreid.runs.run import Run

FLAGS = (
    "--config.method=helpers.small_method",
    "--config.protocols=sysu_mm01:search=all,shots=1,trials=2",
    "--config.evaluation.rerank=none",
)
METRICS = [
    {"step": 1, "epoch": 0, "model/loss": 2.0, "model/accuracy": 0.25, "images_per_second": 9.0},
    {"step": 1, "validation/rank1": 0.5, "validation/mAP": 0.4, "validation/mINP": 0.3},
    {"step": 2, "epoch": 1, "model/loss": 1.0, "model/accuracy": 0.5, "images_per_second": 9.0},
]


def make_reported_run(workdir: Path, dataset: Any, folder: Path, prepared: Path, *more: str) -> Run:
    """Writes the run of an untrained network: checkpoint, result and metrics."""
    places = [f"--config.data.folder={folder}", f"--config.data.prepared={prepared}"]
    config = configs.load(f"{ROOT}/configs/agw.py:tiny", [*places, *FLAGS, *more])
    model, run = Model(config), Run(workdir)
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        checkpoints.save(model.state(model.variables()))
        checkpoints.finish()
        run.claim(config, dataset, 0, {"kind": "random"}, described(config))
    for result in evaluate_run(config, run, dataset, draw_protocols(config, dataset)):
        run.write_result(result)
    run.metrics.mkdir()
    lines = "".join(json.dumps(line) + "\n" for line in METRICS)
    (run.metrics / "metrics.jsonl").write_text(lines)
    return run
