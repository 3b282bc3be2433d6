"""The experiments that measure a trained run, on a tiny run of IDKL."""

import pytest
from helpers.paths import ROOT

from experiments import gradients, modality_gap
from jreid.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("idkl")
    data = folder / "synthetic"
    assert main(["data", "synthesize", "--preset=tiny", f"--output={data}"]) == 0
    places = [f"--config.data.folder={data}", f"--config.data.prepared={folder / 'prepared'}"]
    config = [f"--config={ROOT}/configs/idkl.py:tiny", "--config.epochs=1", *places]
    assert main(["train", *config, "--no-report", f"--workdir={folder / 'run'}"]) == 0
    return folder / "run"


def cells_of(text):
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_shares_of_all_terms_are_printed_and_add_up(workdir, capsys):
    gradients.main([f"{workdir}", "--batches=2"])
    text = capsys.readouterr().out
    assert ", player model\n" in text
    rows = cells_of(text)
    assert {"shared_reid", "csa", "tgsa", "discriminator"} <= {row[0] for row in rows}
    assert sum(float(row[3].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=8)


def test_the_gap_of_each_branch_is_printed(workdir, capsys):
    modality_gap.main([f"{workdir}"])
    rows = cells_of(capsys.readouterr().out)
    assert [row[1] for row in rows] == ["of the method", *modality_gap.READERS]
    assert all(0 <= float(cell) <= 100 for row in rows for cell in row[2:])
    assert len({row[4] for row in rows} | {row[5] for row in rows}) > 1


def test_a_player_that_does_not_exist_is_one_sentence(workdir, capsys):
    assert gradients.main([f"{workdir}", "--player=generators"]) == 2
    assert "--player=generators is not in the phase main" in capsys.readouterr().err
