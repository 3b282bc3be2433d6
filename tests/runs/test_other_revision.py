"""A run of an older revision of jreid, whose config or checkpoints this one cannot use."""

import json

import pytest
from helpers.paths import ROOT
from helpers.states import state_of

from jreid import config as configs
from jreid.__main__ import main
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.run import Run
from jreid.versions import revision

OLD = "1234567890" * 4


@pytest.fixture
def old(tiny_folder, prepared, tmp_path):
    """A run of another network than today's, and a function that edits its config in both files."""
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    config, run = configs.load(f"{ROOT}/configs/agw.py:tiny", places), Run(tmp_path / "run")
    with Checkpoints(run.checkpoints, writes=True) as checkpoints:
        checkpoints.save(state_of(0))
        checkpoints.finish()
        run.claim(config, None)

    def edit(change=lambda config: None, revision=OLD):
        record = json.loads(run.provenance_file.read_text()) | {"revision": revision}
        change(record["config"])
        run.provenance_file.write_text(json.dumps(record))
        run.config_file.write_text(json.dumps(record["config"]))
        return run

    return edit


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def loses_a_field(config):
    del config["pooling"]


def uses_what_is_gone(config):
    config["backbone"]["attention"] = "squeeze"


CHANGES = {
    "other network": (lambda config: None, "checkpoints"),
    "field that came later": (loses_a_field, "pooling"),
    "field that is gone": (uses_what_is_gone, "attention"),
    "value that is gone": (lambda config: config.update(method="agw_of_old"), "agw_of_old"),
}


@pytest.mark.parametrize("verb", ["train", "evaluate"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_revision_that_made_it_and_the_remedy_are_named(old, capsys, verb, change):
    edit, cause = CHANGES[change]
    run = old(edit)
    message = refused(capsys, verb, f"--workdir={run.workdir}")
    assert cause in message
    assert f"this run was made by revision {OLD} of jreid" in message
    assert f"git checkout {OLD}" in message
    assert "another --workdir" in message


def test_a_run_of_this_revision_gets_no_such_advice(old, capsys):
    for same in (None, revision()):
        message = refused(capsys, "evaluate", f"--workdir={old(revision=same).workdir}")
        assert "this run was made by" not in message


def test_another_config_than_that_of_an_old_run(old, capsys):
    run = old()
    flags = [f"--config={ROOT}/configs/agw.py:tiny", "--config.seed=1"]
    message = refused(capsys, "train", *flags, f"--workdir={run.workdir}")
    assert "seed: 1, 0" in message
    assert f"git checkout {OLD}" in message
