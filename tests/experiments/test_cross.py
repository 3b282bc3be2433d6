"""The table of runs by datasets."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import cross
from jreid.errors import InputError


def row(r1, fingerprint="aaaa", **fields):
    measures = {"cmc": {"1": r1}, "mAP": r1 / 2, "checkpoint": "last", "images": "0"}
    return {**measures, "fingerprint": fingerprint, "label": "all, 1-shot", **fields}


A, B = Path("runs/a"), Path("runs/b")
TARGETS = [cross.Target("sysu_mm01", "data/s"), cross.Target("llcm", "")]


def test_each_cell_has_its_fingerprint():
    other = {"fingerprint": "bbbb", "label": "llcm, infrared to visible", "other_data": True}
    cells = {
        A: [cross.Cell(row(0.5)), cross.Cell(row(0.25, trained_on_unknown=True, **other))],
        B: [cross.Cell(None, "12 images were trained on"), cross.Cell(row(0.75, **other))],
    }
    lines = cross.format_cross(cells, TARGETS).splitlines()
    assert lines[0] == "| trained | sysu_mm01 | llcm |"
    assert lines[2] == "| runs/a | 50.00 / 25.00 (`aaaa`, own data) | 25.00 / 12.50 (`bbbb`) |"
    assert lines[3] == "| runs/b | - | 75.00 / 37.50 (`bbbb`) |"
    assert "runs/a on llcm: perhaps trained on." in lines[-1]
    assert "runs/b on sysu_mm01: 12 images were trained on." in lines[-1]


@pytest.mark.parametrize("change", [{"fingerprint": "cccc"}, {"images": "1"}])
def test_a_column_has_one_test(change):
    cells = {A: [cross.Cell(row(0.5))], B: [cross.Cell(row(0.5) | change)]}
    with pytest.raises(InputError, match="sysu_mm01 has other people"):
        cross.format_cross(cells, TARGETS[:1])


def test_runs_are_evaluated_by_the_command(monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command[3:])
        if "--data=llcm" in command:
            return SimpleNamespace(returncode=2, stdout="", stderr="a note\njreid: no folder.\n")
        rows = [row(0.1, checkpoint="best"), row(0.5)]
        return SimpleNamespace(returncode=0, stdout=json.dumps({"rows": rows}), stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    text = cross.cross([A], TARGETS, trusted=True)
    assert all("--trust-code" in command for command in commands)
    assert commands[0][:3] == ["evaluate", "--workdir=runs/a", "--data=sysu_mm01"]
    assert "--data-folder=data/s" in commands[0]
    assert not any("--data-folder" in flag for flag in commands[1])
    for command in commands:  # the run's own results stay
        (output,) = [flag for flag in command if flag.startswith("--output=")]
        assert "runs/a" not in output
    assert "| runs/a | 50.00 / 25.00 (`aaaa`, own data) | - |" in text
    assert "on llcm: no folder.\n" in text
    with pytest.raises(InputError, match="no folder"):
        cross.cross([A], TARGETS[1:])


def test_a_best_checkpoint_is_named():
    text = cross.format_cross({A: [cross.Cell(row(0.5, checkpoint="best"))]}, TARGETS[:1])
    assert "runs/a on sysu_mm01: best checkpoint." in text


def test_a_file_of_another_kind_is_not_replaced(tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text("{}")
    assert cross.main(["runs/a", "--on=llcm", f"--output={file}"]) == 2
    assert "does not end in .md" in capsys.readouterr().err
    assert file.read_text() == "{}"
