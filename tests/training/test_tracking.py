"""A copy of what a run logs in a tracker: in planted ones, and in Trackio where it is installed."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from helpers.paths import ROOT
from helpers.planted_tracker import PlantedTracker
from helpers.run_folder import metrics_of, rows_of
from helpers.tracked import ROW, track, tracker_of

from jreid.__main__ import main
from jreid.errors import InputError
from jreid.training.tracking import BACKENDS, _numbers, require_tracker


@pytest.fixture(params=BACKENDS)
def kind(request):
    return request.param


@pytest.fixture
def planted(kind, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ERROR_REPORTING", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    module = PlantedTracker(kind)
    monkeypatch.setitem(sys.modules, kind, module)
    return module


def test_a_resumed_run_continues_the_tracked_one(kind, planted, tmp_path, capsys):
    workdir = tmp_path / "mine"
    track(kind, workdir, 1, 6)
    track(kind, workdir, 5, 8)  # from an earlier checkpoint
    with tracker_of(kind, workdir) as tracker:
        tracker.on_result([ROW])
    ((_, logged),) = planted.runs.items()
    assert [(number, sorted(metrics)[-1]) for number, metrics in logged] == [
        *((number, "loss") for number in (2, 4, 6)),
        (6, "validation/mAP"),
        (8, "loss"),
        (8, "validation/mAP"),
        (9, "test/last/all/none/rank1"),
    ]
    assert logged[0][1] == {"epoch": 0, "loss": 0.5, "images_per_second": 60.0}
    assert planted.finished == len(planted.inits) == 3
    assert planted.inits[0]["config"]["batch"]["images"] == 2
    assert "mine" in planted.inits[0]["name"] and "prints on" not in capsys.readouterr().out
    track(kind, tmp_path / "other" / "mine", 1, 2)
    assert len(planted.runs) == 2


def test_weights_and_biases_stays_offline_unless_asked(monkeypatch, tmp_path):
    planted = PlantedTracker("wandb")
    monkeypatch.setitem(sys.modules, "wandb", planted)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    track("wandb", tmp_path, 1, 2)
    monkeypatch.setenv("WANDB_MODE", "online")
    track("wandb", tmp_path, 3, 4)
    assert [arguments["mode"] for arguments in planted.inits] == ["offline", "online"]
    assert planted.inits[0]["dir"] == str(tmp_path)


def test_a_tracker_that_fails_is_warned_of_once(kind, planted, tmp_path, caplog):
    planted.fails_at = 4
    track(kind, tmp_path, 1, 8)
    (message,) = caplog.messages
    assert f"config.tracker={kind} has failed (RuntimeError: no space)" in message
    ((_, logged),) = planted.runs.items()
    assert [number for number, _ in logged] == [2]


def test_a_damaged_file_of_the_tracker_does_not_end_a_run(kind, planted, tmp_path, caplog):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "tracker.json").write_text("{")
    track(kind, tmp_path, 1, 4)
    assert len(caplog.messages) == 1 and "tracker.json" in caplog.messages[0]


def test_a_missing_package_is_named_with_its_extra(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(InputError, match=rf'config\.tracker={kind} .*"jreid\[{kind}\]"'):
        require_tracker(kind)


def test_no_tracker_writes_nothing(tmp_path):
    track("none", tmp_path, 1, 4)
    assert [*tmp_path.iterdir()] == []


def test_a_training_is_tracked_and_killed_and_resumed(tiny_folder, prepared, tmp_path, monkeypatch):
    planted = PlantedTracker("trackio")
    monkeypatch.setitem(sys.modules, "trackio", planted)
    command = [
        *("train", "--no-report", f"--config={ROOT}/configs/agw.py:tiny"),
        *("--config.method=helpers.small_method", "--config.tracker=trackio"),
        "--config.epochs=1",
        *(f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"),
        *("--config.evaluation.rerank=none", "--config.protocols=sysu_mm01:trials=1"),
        f"--workdir={tmp_path}/run",
    ]
    planted.fails_at, planted.failure = 3, KeyboardInterrupt()
    assert main(command) != 0
    planted.fails_at = None
    assert main(command) == 0
    ((_, logged),) = planted.runs.items()
    lines = metrics_of(tmp_path / "run")
    merged = [metrics | {"step": number, "images_per_second": None} for number, metrics in logged]
    assert merged[: len(lines)] == [line | {"images_per_second": None} for line in lines]
    numbers = merged[-1].values()
    assert len(merged) == len(lines) + 1
    assert {row["mAP"] for row in rows_of(tmp_path / "run")} <= {*numbers}
    (recorded,) = json.loads((tmp_path / "run/metrics/tracker.json").read_text()).values()
    assert recorded["steps"]["means"] == lines[-1]["step"]


@pytest.mark.skipif(
    find_spec("trackio") is None,
    reason="trackio is not installed: it needs an older Pillow than requirements.txt has",
)
def test_trackio_s_own_store_has_each_step_once(tmp_path):
    environment = {"TRACKIO_DIR": f"{tmp_path}/store", "HF_TOKEN": "hf_planted"}
    done = subprocess.run(
        [sys.executable, "-m", "helpers.tracked", str(tmp_path / "mine")],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tried"] == []
    assert found["name"].startswith("mine-") and found["config"]["batch"]["images"] == 2
    assert [(one["step"], one["loss"]) for one in found["logs"] if "loss" in one] == [
        (number, pytest.approx(1 / number)) for number in (2, 4, 6, 8)
    ]
    scores = [one["step"] for one in found["logs"] if "validation/mAP" in one]
    assert scores == [6, 8] and found["logs"][-1]["test/last/all/none/mAP"] == 0.25


def test_protocols_of_one_label_are_both_logged(kind, planted, tmp_path):
    rows = [
        ROW | {"protocol": {"trials": n}, "protocol_text": f"mine:trials={n}", "mAP": n / 4}
        for n in (1, 2)
    ]
    with tracker_of(kind, tmp_path) as tracker:
        tracker.on_result(rows)
    ((_, ((_, logged),)),) = planted.runs.items()
    assert [logged[f"test/last/all (mine:trials={n})/none/mAP"] for n in (1, 2)] == [0.25, 0.5]


def test_a_mixed_gallerys_own_measures_are_numbers_too():
    row = {"checkpoint": "last", "label": "mixed", "rerank": "none", "mAP": 0.5, "mINP": 0.4}
    mixed = {"share": 0.3, "confusion": {"mean": 0.2, "std": 0.1}, "cross_modality_mAP": None}
    found = _numbers(row | {"cmc": {"1": 0.6}, "mixed": mixed}, "mixed")
    assert found["test/last/mixed/none/confusion"] == 0.2 and len(found) == 4
