"""A run that starts from the weights of another."""

import errno
import json
import shutil
from unittest import mock

import jax
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.untrained_run import make_run, save_another

from jreid.__main__ import main
from jreid.config import load
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.runs import manifest
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.init_from import load_matching, start_of_run
from jreid.runs.run import Run

CONFIG = f"{ROOT}/configs/agw.py:tiny"
SMALL = ("--config.method=helpers.small_method",)


@pytest.fixture(scope="module")
def train(tiny_folder, prepared, tmp_path_factory):
    """A function from a run's name and flags to its folder; it trains no epoch."""
    folder = tmp_path_factory.mktemp("runs")
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    places += ["--config.evaluation.rerank=none", "--config.protocols=sysu_mm01:trials=1"]

    def train(name, *flags, method=SMALL):
        command = ["train", f"--config={CONFIG}", "--config.epochs=0", "--no-report", *places]
        assert main([*command, *method, f"--workdir={folder / name}", *flags]) == 0
        return folder / name

    return train


@pytest.fixture(scope="module")
def other(train):
    return train("other", "--config.seed=7")


@pytest.fixture(scope="module")
def agw(train):
    return train("agw", method=())


def weights(workdir):
    run = Run(workdir)
    with Checkpoints(run.checkpoints) as checkpoints:
        return jax.device_get(
            checkpoints.restore_variables(
                0, Model(run.config()).shapes(), Model(run.config()).sharding
            )
        )


def equal(one, two):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    )


def test_a_run_starts_from_anothers_weights(train, other, capsys):
    workdir = train("new", f"--init-from={other}")
    err = capsys.readouterr().err
    total = len(jax.tree.leaves(weights(other)))
    assert f"{other}: {total} arrays are loaded" in err
    assert "not loaded" not in err
    assert equal(weights(workdir), weights(other))
    assert not equal(weights(train("plain")), weights(other))


def test_another_checkpoint_than_is_recorded_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("jreid.find.Trust.given", True)
    other = make_run(tmp_path / "other")
    start, variables = start_of_run(other, "last"), weights(other)
    assert equal(start.fill(variables), variables)
    save_another(other)
    with pytest.raises(InputError, match=f"^{other} saved another last checkpoint while this run"):
        start.fill(variables)


def record(workdir):
    return json.loads((workdir / "run.json").read_text())


@pytest.mark.fault("A3")
def test_the_start_is_a_part_of_the_run(train, other, tmp_path, capsys):
    workdir = train("insisted", f"--init-from={other}")
    start = record(workdir)["start"]
    assert (start["kind"], start["path"], start["step"]) == ("run", str(other), 0)
    assert len(start["sha256"]) == 64
    result = json.loads((workdir / "result.json").read_text())
    assert result["start"] == {name: start[name] for name in start if name != "path"}
    assert record(train("plain"))["start"] == {"kind": "random"}
    # It goes on with its own weights, whether they are named again or not.
    before = weights(workdir)
    assert equal(weights(train("insisted")), before)
    assert equal(weights(train("insisted", f"--init-from={other}")), before)
    again = ["train", f"--workdir={workdir}", "--trust-code"]
    for flags in ([f"--init-from={tmp_path}"], [f"--init-from={other}", "--init-checkpoint=best"]):
        assert main([*again, *flags]) == 2
        assert f"started from the last checkpoint of {other}, not from" in capsys.readouterr().err
    # Without a checkpoint, as one that was removed, no other weights take their place.
    shutil.rmtree(workdir / "checkpoints")
    assert main(again) == 2
    assert f"{other}, not from random weights" in capsys.readouterr().err
    assert equal(weights(train("insisted", f"--init-from={other}")), before)


@pytest.mark.fault("A3")
@pytest.mark.parametrize("seals", [0, 1])
def test_a_disk_that_is_full_at_the_first_step_leaves_no_run(
    train, other, seals, monkeypatch, capsys
):
    """Full before the first checkpoint is whole, or after that and before the run is claimed."""
    name = f"full{seals}"
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        if seals:
            patch.setattr(Run, "claim", mock.Mock(side_effect=full))
        else:
            patch.setattr(manifest, "seal", mock.Mock(side_effect=full))
        with pytest.raises(AssertionError, match="2 == 0"):
            train(name, f"--init-from={other}")
    assert "No space left on device" in capsys.readouterr().err
    workdir = other.parent / name
    assert main(["train", f"--workdir={workdir}"]) == 2
    assert f"{workdir} holds no run" in capsys.readouterr().err
    assert equal(weights(train(name, f"--init-from={other}")), weights(other))


@pytest.mark.fault("A3")
def test_checkpoints_without_a_config_are_not_overwritten(train, capsys):
    workdir = train("orphan")
    (workdir / "checkpoints" / "0").rename(workdir / "checkpoints" / "5")
    (workdir / "config.json").unlink()
    with pytest.raises(AssertionError, match="2 == 0"):
        train("orphan")
    assert "has files that do not belong to a run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.fault("A8")
def test_other_software_is_reported_and_kept(train, capsys):
    workdir = train("moved")
    before = record(workdir)
    assert before["drifts"] == []
    old = before | {"revision": "0" * 40, "device": "8 x abacus"}
    old["versions"] = before["versions"] | {"jax": "0.0.1"}
    (workdir / "run.json").write_text(json.dumps(old))
    (workdir / "result.json").unlink()
    train("moved")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "abacus" in line]
    changed = [
        f"revision: {before['revision']}, {'0' * 40}",
        f"device: {before['device']}, 8 x abacus",
        f"jax: {before['versions']['jax']}, 0.0.1",
    ]
    assert all(change in line for change in changed)
    after = record(workdir)
    assert after["drifts"] == [{"step": 0, "changed": changed}]
    assert after["versions"] == before["versions"]
    (workdir / "result.json").unlink()
    train("moved")
    assert record(workdir) == after


def test_what_does_not_fit_is_reported_and_left(agw):
    variables = Model(load(CONFIG, ["--config.data.identities=9"])).variables()
    variables["params"]["more"] = np.zeros(3, np.float32)
    loaded = load_matching(variables, agw, "last")
    (line,) = loaded.mismatched
    assert line.startswith("params/classifier/kernel: float32[")
    assert ", 8] in that run, " in line
    assert line.endswith(", 9] in this one")
    assert loaded.missing == ["params/more"]
    ours, theirs = (
        tree["params"]["classifier"]["kernel"] for tree in (variables, loaded.variables)
    )
    assert np.array_equal(ours, theirs)
    found = weights(agw)
    assert equal(loaded.variables["params"]["backbone"], found["params"]["backbone"])
    assert equal(loaded.variables["batch_stats"], found["batch_stats"])


def test_what_cannot_be_started_from(agw, tmp_path, capsys):
    with pytest.raises(InputError, match=r"no array of .* fits this config's network"):
        load_matching({"params": {"more": np.zeros(3, np.float32)}}, agw, "last")
    with pytest.raises(InputError, match=r"has no best checkpoint"):
        load_matching({}, agw, "best")
    new = tmp_path / "new"
    command = ["train", f"--config={CONFIG}", f"--workdir={new}", f"--init-from={tmp_path / 'no'}"]
    assert main(command) == 2
    assert "holds no run (no config.json)" in capsys.readouterr().err
    assert not (new / "config.json").exists()
