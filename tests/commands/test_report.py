"""The report at the end of a training: it is written, can be left out, and never fails the run."""

import json

import pytest
from helpers.command_line import SMALL_EVALUATION
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.commands.report import report_training

METHOD = "--config.method=helpers.small_method"


@pytest.fixture
def train(tiny_folder, prepared, tmp_path, capsys, monkeypatch):
    """Trains no epoch, and returns the run's folder and what was printed."""
    # The other tests train without a report: tests/conftest.py.
    monkeypatch.setattr("jreid.commands.report.report_training", report_training)
    monkeypatch.setattr("jreid.report.image_sections.project", lambda features: features[:, :2])

    def train(*flags):
        places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
        config = [f"--config={ROOT}/configs/agw.py:tiny", METHOD, "--config.epochs=0"]
        workdir = tmp_path / "run"
        flags = [*config, *places, *SMALL_EVALUATION, f"--workdir={workdir}", *flags]
        assert main(["train", *flags]) == 0
        return workdir, capsys.readouterr()

    return train


def test_training_writes_a_report_and_says_so(train):
    workdir, printed = train()
    (line,) = [line for line in printed.out.splitlines() if line.startswith("report ")]
    assert line.endswith(f"{workdir}/report.html")
    page = (workdir / "report.html").read_text()
    assert 'id="lists"' in page and "helpers.small_method on" in page


def test_a_report_can_be_left_out(train):
    workdir, printed = train("--no-report")
    assert "report.html" not in printed.out + printed.err
    assert not (workdir / "report.html").exists()


def test_training_does_not_fail_for_its_report(train, monkeypatch):
    def broken(*_):
        raise RuntimeError("no room\nfor it")

    monkeypatch.setattr("jreid.report.run_report.run_page", broken)
    workdir, printed = train()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("jreid: ")]
    assert "RuntimeError: no room for it" in line
    assert f"jreid report --workdir={workdir}" in line
    assert (workdir / "result.json").is_file()


def test_rows_for_a_paper(tmp_path, capsys):
    metrics = {"cmc": {str(rank): 0.5 for rank in (1, 10, 20)}, "mAP": 0.25, "mINP": 0.125}
    row = {"label": "all, 1-shot", "rerank": "none", "fingerprint": "0a1b", "protocol": {}}
    row |= {**metrics, "std": metrics, "trials": 10, "of_trials": 10}
    (tmp_path / "result.json").write_text(json.dumps({"method": "agw", "rows": [row]}))
    assert main(["report", str(tmp_path), "--rows=latex"]) == 0
    assert "agw & none & 50.00 & 50.00 & 50.00 & 25.00 & 12.50" in capsys.readouterr().out
    file = tmp_path / "rows.md"
    assert main(["report", str(tmp_path), "--rows=markdown", f"--output={file}"]) == 0
    assert "0a1b" in file.read_text()
    for form in ("html", "LaTeX", ""):
        assert main(["report", str(tmp_path), f"--rows={form}"]) == 2
    capsys.readouterr()
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "rows.md"
    rows = ["report", str(tmp_path), "--rows=markdown", f"--output={output}", "--json"]
    assert main(rows) == 2
    document = json.loads(capsys.readouterr().out)
    assert "0a1b" in document["table"] and document["output"] is None


@pytest.mark.parametrize("flags", [["a"], ["a", "b"], ["a", "--rows=latex"]])
def test_a_result_is_not_replaced_by_a_page(flags, tmp_path, capsys):
    file = tmp_path / "result.json"
    file.write_text("kept")
    assert main(["report", *flags, f"--output={file}"]) == 2
    assert f"{file} does not end in " in capsys.readouterr().err
    assert file.read_text() == "kept"


def test_a_page_that_is_not_written_is_not_named(tmp_path, capsys):
    assert main(["report", str(tmp_path), str(tmp_path), "--json"]) == 2
    assert "report" not in capsys.readouterr().out
