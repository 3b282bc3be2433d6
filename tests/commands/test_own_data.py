"""Verbs that measure a run or draw its pictures have no number of other data than its own."""

import json

import pytest

from experiments import gradients, modality_gap
from jreid.__main__ import main
from jreid.runs.run import Run


@pytest.fixture
def moved(tiny_config, tiny_dataset, tmp_path):
    """A run whose folder of images has other ones now."""
    run = Run(tmp_path / "run")
    run.claim(tiny_config, tiny_dataset)
    record = run.record() | {"data_fingerprint": "0" * 64}
    run.provenance_file.write_text(json.dumps(record))
    return run


@pytest.mark.fault("A2")
@pytest.mark.parametrize(
    ("verb", "remedy"),
    [
        (lambda workdir: main(["evaluate", f"--workdir={workdir}"]), "--other-data"),
        (lambda workdir: main(["pictures", f"--workdir={workdir}"]), "--config.data.folder."),
        (lambda workdir: gradients.main([workdir]), "put the run's data there."),
        (lambda workdir: modality_gap.main([workdir]), "put the run's data there."),
    ],
)
def test_other_data_than_the_runs_are_refused(verb, remedy, moved, tiny_folder, capsys):
    try:
        status = verb(f"{moved.workdir}")
    except SystemExit as stopped:  # as the experiments end
        status = stopped.code
    err = capsys.readouterr().err
    assert status == 2
    assert f"{tiny_folder} holds other data than the run in {moved.workdir} was trained on" in err
    assert "000000000000 in the run" in err and remedy in err
