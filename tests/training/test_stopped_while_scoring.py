"""A run that is asked to stop while it is scored on the validation identities, and goes on."""

import json
import os
import signal
import time

import pytest
from helpers.paths import ROOT
from helpers.run_folder import metrics_of, rows_of

from jreid.__main__ import main
from jreid.runs import score


@pytest.fixture(scope="module")
def command(tiny_folder, prepared):
    return [
        "train",
        f"--config={ROOT}/configs/agw.py:tiny",
        "--config.method=helpers.small_method",
        f"--config.data.folder={tiny_folder}",
        f"--config.data.prepared={prepared}",
        "--config.evaluation.rerank=none",
        "--config.protocols=sysu_mm01:trials=1",
        "--config.checkpoint_every_epochs=9",
    ]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """A run that was not stopped."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert main([*command, f"--workdir={workdir}"]) == 0
    return workdir


def steps_in(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def outcome(workdir):
    """What must not depend on where a run was stopped: arrays, notes, metrics and results."""
    files = {
        path.relative_to(workdir): path.read_bytes()
        for pattern in ("*/model/*/c/**/*", "*/optimizer/*/c/**/*", "*/notes.json")
        for path in (workdir / "checkpoints").glob(pattern)
        if path.is_file()
    }
    return files, metrics_of(workdir), rows_of(workdir)


def stop_in_scoring(monkeypatch, time_of_request):
    """Sends SIGTERM before or after the validation images are embedded, the given time."""
    embed, calls = score.split_embeddings, []

    def stopped(model, variables, dataset, split):
        calls.append(split)
        if len(calls) == time_of_request:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
        return embed(model, variables, dataset, split)

    monkeypatch.setattr(score, "split_embeddings", stopped)


@pytest.mark.fault("B9")
@pytest.mark.parametrize(("epoch", "step"), [pytest.param(1, 11, marks=pytest.mark.slow), (2, 22)])
def test_no_step_is_lost_and_the_score_is_made_up(
    command, whole, epoch, step, tmp_path, monkeypatch, capsys
):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_in_scoring(patch, epoch)
        assert main([*command, f"--workdir={workdir}"]) == 143
    assert f"stopped and saved at step {step}" in capsys.readouterr().err
    assert steps_in(workdir)[-1] == step
    with (workdir / "metrics" / "metrics.jsonl").open("a") as file:
        # As of a run that was killed after its score was logged and before it was saved.
        file.write(json.dumps({"step": step, "validation/mAP": 0.5}) + "\n")
    assert main([*command, f"--workdir={workdir}"]) == 0
    files, *rest = outcome(workdir)
    assert files
    assert [files, *rest] == [*outcome(whole)]
