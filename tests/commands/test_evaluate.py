"""What `jreid evaluate` prints of a run."""

from types import SimpleNamespace

from jreid.commands.evaluate import evaluate_and_print
from jreid.runs.run import Run


def test_only_a_trained_run_has_metrics_to_look_at(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jreid.runs.evaluate.evaluate_run", lambda *_: [{"rows": []}])
    config = SimpleNamespace(method="agw", data=SimpleNamespace(name="mine"))
    options = SimpleNamespace()
    run, dataset = Run(tmp_path / "run"), SimpleNamespace(fingerprint="0" * 64)
    evaluate_and_print(options, config, run, dataset, None)
    assert "metrics" not in capsys.readouterr().out.replace(str(tmp_path), "")
    run.metrics.mkdir()
    evaluate_and_print(options, config, run, dataset, None)
    assert "metrics.jsonl" in capsys.readouterr().out
