"""What `jreid evaluate` prints of a run."""

import json
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from jreid.__main__ import main
from jreid.commands.evaluate import evaluate_and_print
from jreid.runs.run import Run


def test_only_a_trained_run_has_metrics_to_look_at(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jreid.runs.evaluate.evaluate_run", lambda *_: [{"rows": []}])
    config = ConfigDict({"method": "agw", "data": {"name": "mine"}})
    options = SimpleNamespace(output=None)
    run, dataset = Run(tmp_path / "run"), SimpleNamespace(fingerprint="0" * 64)
    evaluate_and_print(options, config, run, dataset, None)
    assert "metrics" not in capsys.readouterr().out.replace(str(tmp_path), "")
    run.metrics.mkdir()
    evaluate_and_print(options, config, run, dataset, None)
    assert "metrics.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize("is_bundle", [False, True])
def test_a_result_in_another_file_leaves_the_runs_own(is_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jreid.runs.evaluate.evaluate_run", lambda *_: [{"rows": []}])
    config = ConfigDict({"method": "agw", "data": {"name": "mine"}})
    run, dataset = Run(tmp_path), SimpleNamespace(fingerprint="0" * 64)
    run.is_bundle = is_bundle
    for name in ("result.json", "result-000000000000.json"):
        (tmp_path / name).write_text("kept")
    options = SimpleNamespace(output=tmp_path / "other" / "mine.json", data="llcm")
    evaluate_and_print(options, config, run, dataset, None)
    assert json.loads(options.output.read_text()) == {"rows": []}
    assert f"result       {options.output}" in capsys.readouterr().out
    assert {file.read_text() for file in tmp_path.glob("result*.json")} == {"kept"}


def test_what_is_written_must_be_a_json_file(tmp_path, capsys):
    assert main(["evaluate", f"--workdir={tmp_path}", "--output=mine.txt"]) == 2
    assert "mine.txt does not end in .json" in capsys.readouterr().err
    record = tmp_path / "run.json"
    record.write_text('{"steps": 3}')
    for source in (f"--workdir={tmp_path}", "--features=x.npz --protocol=folder"):
        assert main(["evaluate", *source.split(), f"--output={record}"]) == 2
        assert f"{record} exists and is not a result of jreid" in capsys.readouterr().err
    assert record.read_text() == '{"steps": 3}'
    assert main(["evaluate", "--compare", "a", "b", "--output=mine.json"]) == 2
    assert "--output does not go with --compare" in capsys.readouterr().err
