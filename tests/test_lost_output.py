"""Results and lines that cannot be written: numbers are shown, and training goes on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from jreid.__main__ import main
from jreid.commands.evaluate import evaluate_and_tell
from jreid.errors import InputError
from jreid.training.run import Run


@pytest.fixture
def flags(tmp_path):
    """Flags of `evaluate --features` for a small file."""
    people, cameras = np.repeat([6, 10], 12), np.tile(np.repeat([1, 2, 3, 6], 3), 2)
    labels = {"identities": people, "cameras": cameras}
    labels["modalities"] = np.where(cameras > 2, "infrared", "visible")
    labels["names"] = np.array([f"cam{cameras[i]}/{people[i]:04d}/{i:04d}" for i in range(24)])
    features = np.random.default_rng(0).normal(size=(24, 4))
    np.savez(tmp_path / "f.npz", features=features, **labels)
    what = ["evaluate", f"--features={tmp_path / 'f.npz'}", "--protocol=sysu_mm01"]
    return [*what, "--dataset=mine", "--draw=agw", "--trials=1"]


def row(flags, tmp_path):
    """A result row of the small file."""
    assert main([*flags, f"--output={tmp_path / 'row.json'}"]) == 0
    return json.loads((tmp_path / "row.json").read_text())["rows"][0]


@pytest.mark.fault("B8")
def test_a_runs_numbers_are_shown_where_its_result_cannot_be_written(
    flags, tmp_path, monkeypatch, capsys
):
    result = {"rows": [row(flags, tmp_path)]}
    monkeypatch.setattr("jreid.training.evaluation.evaluate_run", lambda *_: result)
    run = Run(tmp_path / "run")
    run.result.mkdir(parents=True)
    capsys.readouterr()
    config = SimpleNamespace(method="agw", data=SimpleNamespace(name="mine"))
    with pytest.raises(InputError, match=r"result\.json"):
        evaluate_and_tell(config, run, SimpleNamespace(fingerprint="0" * 64))
    out = capsys.readouterr().out
    assert result["rows"][0]["fingerprint"] in out
    assert "metrics.jsonl" in out
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
