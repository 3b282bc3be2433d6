"""Convolutions in bfloat16, beside float32."""

import json

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid.__main__ import main

WINDOW = 25  # steps; a single step's loss is its batch's and, soon, rounding's


@pytest.mark.slow
def test_bfloat16_trains_as_float32_does(tiny_folder, prepared, tmp_path):
    means = {}
    for dtype in ("float32", "bfloat16"):
        status = main(
            [
                "train",
                f"--config={ROOT}/configs/agw.py:tiny",
                f"--workdir={tmp_path}/{dtype}",
                f"--config.data.folder={tiny_folder}",
                f"--config.data.prepared={prepared}",
                f"--config.dtype={dtype}",
                "--config.epochs=10",
                "--config.optimizer.learning_rate=0.01",
                "--config.optimizer.milestones=()",
                "--config.evaluation.every_epochs=0",
                "--config.protocols=sysu_mm01",
            ]
        )
        assert status == 0
        lines = (tmp_path / dtype / "metrics" / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(line)["model/loss"] for line in lines]
        assert len(losses) > 100
        means[dtype] = np.reshape(losses[: 4 * WINDOW], (4, WINDOW)).mean(1)
    wide, narrow = means["float32"], means["bfloat16"]
    assert wide[-1] < 0.6 * wide[0]  # so there is something to agree on
    np.testing.assert_allclose(narrow, wide, rtol=0.08)
    assert (narrow != wide).all()
