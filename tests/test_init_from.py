"""A run that starts from the weights of another."""

import jax
import numpy as np
import pytest
from conftest import ROOT

from jreid.__main__ import main
from jreid.config import load
from jreid.errors import InputError
from jreid.training.checkpoints import Checkpoints
from jreid.training.initial import take_over
from jreid.training.model import Model
from jreid.training.run import Run

CONFIG = f"{ROOT}/configs/agw.py:tiny"


@pytest.fixture(scope="module")
def train(tiny_folder, prepared, tmp_path_factory):
    """A function from a run's name and flags to its folder; it trains no epoch."""
    folder = tmp_path_factory.mktemp("runs")
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]

    def train(name, *flags):
        command = ["train", f"--config={CONFIG}", "--config.epochs=0", *places]
        assert main([*command, f"--workdir={folder / name}", *flags]) == 0
        return folder / name

    return train


@pytest.fixture(scope="module")
def other(train):
    return train("other", "--config.seed=7")


def weights(workdir):
    run = Run(workdir)
    with Checkpoints(run.checkpoints) as checkpoints:
        return jax.device_get(Model(run.config()).restore_variables(checkpoints, 0))


def equal(one, two):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    )


def test_a_run_starts_from_anothers_weights(train, other, capsys):
    workdir = train("new", f"--init-from={other}")
    out, _ = capsys.readouterr()
    total = len(jax.tree.leaves(weights(other)))
    assert f"{other}: {total} arrays are taken over" in out
    assert "not taken over" not in out
    assert equal(weights(workdir), weights(other))
    assert not equal(weights(train("plain")), weights(other))


def test_a_run_that_goes_on_keeps_its_own(train, other):
    before = weights(train("plain"))
    assert equal(weights(train("plain", f"--init-from={other}")), before)


def test_what_does_not_fit_is_told_and_left(other):
    variables = Model(load(CONFIG, ["--config.data.identities=9"])).variables()
    variables["params"]["more"] = np.zeros(3, np.float32)
    taken = take_over(variables, other, "last")
    (line,) = taken.dropped
    assert line.startswith("params/classifier/kernel: float32[")
    assert ", 8] there, " in line
    assert line.endswith(", 9] here")
    assert taken.fresh == ["params/more"]
    ours, theirs = (tree["params"]["classifier"]["kernel"] for tree in (variables, taken.variables))
    assert np.array_equal(ours, theirs)
    found = weights(other)
    assert equal(taken.variables["params"]["backbone"], found["params"]["backbone"])
    assert equal(taken.variables["batch_stats"], found["batch_stats"])


def test_what_cannot_be_started_from(other, tmp_path, capsys):
    with pytest.raises(InputError, match=r"no array of .* fits this config's network"):
        take_over({"params": {"more": np.zeros(3, np.float32)}}, other, "last")
    with pytest.raises(InputError, match=r"has no best checkpoint; choose another --init-from"):
        take_over({}, other, "best")
    new = tmp_path / "new"
    command = ["train", f"--config={CONFIG}", f"--workdir={new}", f"--init-from={tmp_path / 'no'}"]
    assert main(command) == 2
    assert "holds no run (no config.json)" in capsys.readouterr().err
    assert not (new / "config.json").exists()
