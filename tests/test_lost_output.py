"""Results, pictures and lines that cannot be written: numbers are shown, and training goes on."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.paths import ROOT
from ml_collections import ConfigDict

from jreid.__main__ import main
from jreid.commands.evaluate import evaluate_and_print
from jreid.errors import InputError
from jreid.runs.run import Run
from jreid.terminal import replace_what_cannot_be_shown
from jreid.training.observer import Step
from jreid.training.spikes import MIN_STEPS, SpikeDetector
from jreid.training.validation import Pictures


@pytest.fixture
def flags(tmp_path):
    """Flags of `evaluate --features` for a small file."""
    people, cameras = np.repeat([6, 10], 12), np.tile(np.repeat([1, 2, 3, 6], 3), 2)
    labels = {"identities": people, "cameras": cameras}
    labels["modalities"] = np.where(cameras > 2, "infrared", "visible")
    labels["names"] = np.array([f"cam{cameras[i]}/{people[i]:04d}/{i:04d}" for i in range(24)])
    features = np.random.default_rng(0).normal(size=(24, 4))
    np.savez(tmp_path / "f.npz", features=features, **labels)
    what = ["evaluate", f"--features={tmp_path / 'f.npz'}", "--dataset=mine"]
    return [*what, "--protocol=sysu_mm01:sampling=seeded,trials=1"]


def row(flags, tmp_path):
    """A result row of the small file."""
    assert main([*flags, f"--output={tmp_path / 'row.json'}"]) == 0
    return json.loads((tmp_path / "row.json").read_text())["rows"][0]


@pytest.mark.fault("B8")
def test_a_runs_numbers_are_shown_where_its_result_cannot_be_written(
    flags, tmp_path, monkeypatch, capsys
):
    result = {"rows": [row(flags, tmp_path)]}
    monkeypatch.setattr("jreid.runs.evaluate.evaluate_run", lambda *_: [result])
    run = Run(tmp_path / "my run")
    run.result.mkdir(parents=True)
    run.metrics.mkdir()
    capsys.readouterr()
    config = ConfigDict({"method": "agw", "data": {"name": "mine"}})
    dataset = SimpleNamespace(fingerprint="0" * 64)
    with pytest.raises(InputError, match=r"result\.json"):
        evaluate_and_print(SimpleNamespace(), config, run, dataset, None)
    out = capsys.readouterr().out
    assert result["rows"][0]["fingerprint"] in out
    assert "metrics.jsonl" in out
    assert f"--logdir='{run.metrics}'" in out
    assert "result.json" not in out


@pytest.mark.fault("B8")
def test_features_numbers_are_shown_where_the_result_cannot_be_written(flags, tmp_path, capsys):
    fingerprint = row(flags, tmp_path)["fingerprint"]
    capsys.readouterr()
    (tmp_path / "file").touch()
    assert main([*flags, f"--output={tmp_path / 'file' / 'result.json'}"]) == 2
    out, err = capsys.readouterr()
    assert fingerprint in out
    assert "result.json cannot be written" in err


LINES = """
import sys
from jreid.console import Console
from jreid.terminal import replace_what_cannot_be_shown
replace_what_cannot_be_shown()
for line in range(3000):
    print("line", line, flush=line % 100 == 0)
    Console().print("line")
    print("line", line, file=sys.stderr)
print("the end")
"""


@pytest.mark.fault("B8")
@pytest.mark.parametrize("output", ["full disk", "reader that has left"])
@pytest.mark.parametrize("lost", ["stdout", "stderr"])
def test_lines_that_cannot_be_written_end_no_command(output, lost):
    if output == "full disk":
        writes = os.open("/dev/full", os.O_WRONLY)
    else:
        reads, writes = os.pipe()
        os.close(reads)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {lost: writes}
    ended = subprocess.run([sys.executable, "-c", LINES], cwd=ROOT, text=True, **streams)
    os.close(writes)
    assert ended.returncode == 0
    shown = (ended.stdout or ended.stderr).splitlines()
    (message,) = [line for line in shown if not line.startswith(("line", "the end"))]
    assert f"standard {'output' if lost == 'stdout' else 'error'} cannot be written to" in message
    assert len(shown) == (3001 if lost == "stdout" else 6002)


class Full:
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self):
        pass

    def fileno(self):
        raise ValueError


@pytest.mark.fault("B8")
def test_a_verb_whose_numbers_were_not_shown_fails_and_training_does_not(
    flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "stdout", Full())
    assert main([*flags, f"--output={tmp_path / 'result.json'}"]) == 2
    assert "standard output cannot be written to (No space left" in capsys.readouterr().err
    assert (tmp_path / "result.json").is_file()
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr("jreid.commands.train._train", lambda _: print("step 1"))
    assert main(["train", f"--workdir={tmp_path / 'run'}"]) == 0
    assert "standard output cannot be written to" in capsys.readouterr().err


@pytest.mark.fault("B8")
def test_both_streams_on_a_full_disk(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Full())
    replace_what_cannot_be_shown()
    print("step 1")
    print("step 1", file=sys.stderr)


@pytest.mark.fault("B8")
def test_a_spike_whose_images_cannot_be_kept(tmp_path, caplog):
    (tmp_path / "spikes").touch()
    spikes = SpikeDetector(tmp_path / "spikes", lambda step: {})
    for step in range(MIN_STEPS):
        spikes.on_metrics(step, {"model/loss": 1.0 + 0.01 * (step % 3)})
    spikes.on_metrics(MIN_STEPS, {"model/loss": 100.0})
    (message,) = caplog.messages
    assert "model/loss is 100" in message
    assert f"step_{MIN_STEPS:08d}.json cannot be written" in message


@pytest.mark.fault("B8")
def test_pictures_that_cannot_be_drawn(caplog):
    class Sheets:
        def draw(self, variables, step):
            raise InputError("pictures/heat.png cannot be written (No space left on device).")

    cadence = SimpleNamespace(draws=lambda epochs: True)
    checkpointer = SimpleNamespace(interruptible=contextlib.nullcontext)
    state = SimpleNamespace(variables={})
    Pictures(Sheets(), cadence, checkpointer).on_epoch_end(Step(7, 0, True, False, state))
    (message,) = caplog.messages
    assert "step 7" in message
    assert "pictures/heat.png cannot be written" in message
