"""The verbs on two processes of two devices each, as on one process of four devices."""

import json
import re
import signal
import time

import jax
import numpy as np
import pytest
from conftest import ROOT
from together import ended, started, together

from jreid.__main__ import main
from jreid.config import read
from jreid.training.checkpoints import Checkpoints
from jreid.training.model import Model
from jreid.training.stopping import StopRequests

pytestmark = pytest.mark.slow
STOPPED = r"jreid: stopped and saved at step (\d+); the same command goes on"


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return [
        f"--config={ROOT}/configs/agw.py:tiny",
        f"--config.data.folder={tiny_folder}",
        f"--config.data.prepared={prepared}",
        "--config.image.erase_probability=0.5",
        # At the config's own rate, from random weights, differences in the last bit grow tenfold a
        # step, with the number of devices too.
        "--config.optimizer.learning_rate=1e-4",
        "--config.evaluation.searches=('all',)",
        "--config.evaluation.shots=(1,)",
    ]


@pytest.fixture(scope="module")
def alone(flags, tmp_path_factory):
    """A run by one process."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    assert main(["train", *flags, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def both(flags, tmp_path_factory):
    """A run by two processes, and how they ended."""
    workdir = tmp_path_factory.mktemp("both") / "run"
    done = together("-m", "jreid", "train", *flags, f"--workdir={workdir}")
    assert [process.status for process in done] == [0, 0], done
    return workdir, done


def losses_of(workdir):
    lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return {line["step"]: line["model/loss"] for line in told if "model/loss" in line}


def assert_same_losses(ours, theirs):
    ours, theirs = losses_of(ours), losses_of(theirs)
    assert [*ours] == [*theirs] == [*range(1, 23)]
    np.testing.assert_allclose([*ours.values()], [*theirs.values()], rtol=1e-5)


def rows_of(workdir):
    return json.loads((workdir / "result.json").read_text())["rows"]


def test_losses_agree(alone, both):
    assert_same_losses(both[0], alone)


def test_metrics_are_equal(alone, both):
    assert rows_of(both[0]) == rows_of(alone)


def test_states_agree(alone, both):
    def state_of(workdir):
        with Checkpoints(workdir / "checkpoints") as checkpoints:
            model = Model(read(workdir / "config.json"))
            return jax.device_get(model.restore(checkpoints, checkpoints.newest()))

    ours, theirs = state_of(both[0]), state_of(alone)
    assert ours.step == theirs.step == 22
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_first_process_alone_speaks_and_writes(alone, both):
    workdir, (first, second) = both
    assert "fingerprint" in first.out
    assert not [line for line in second.out.splitlines() if not line.startswith("[Gloo]")]
    assert "step 22/22" in first.err
    assert "step" not in second.err

    def files(of):
        return sorted(
            path.relative_to(of).as_posix()
            for path in of.rglob("*")
            if path.is_file() and not path.name.startswith("events.")
        )

    written = {re.sub(r"ocdbt.process_\d+/|process_\d+", "", name) for name in files(workdir)}
    assert {name for name in written if "checkpoints" not in name} == {
        name for name in files(alone) if "checkpoints" not in name
    }
    assert len([*workdir.glob("metrics/events.*")]) == 1
    assert json.loads((workdir / "run.json").read_text())["processes"] == 2


def test_embeddings_agree(alone, tmp_path):
    arguments = ["embed", f"--workdir={alone}", "--split=test"]
    assert main([*arguments, f"--output={tmp_path}/alone.npz"]) == 0
    done = together("-m", "jreid", *arguments, f"--output={tmp_path}/both.npz")
    assert [process.status for process in done] == [0, 0], done
    ours, theirs = np.load(tmp_path / "both.npz"), np.load(tmp_path / "alone.npz")
    assert (ours["names"] == theirs["names"]).all()
    np.testing.assert_allclose(ours["features"], theirs["features"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("number", "statuses"), [("SIGTERM", [143, 143]), ("SIGINT", [143, 130])])
def test_a_stop_saves_the_same_step_and_one_process_goes_on(
    alone, flags, tmp_path, number, statuses
):
    workdir = tmp_path / "run"
    with started("-m", "jreid", "train", *flags, f"--workdir={workdir}") as running:
        for line in running[0].stderr:
            if line.startswith("step 3/"):
                break
        start = time.monotonic()
        running[1].send_signal(getattr(signal, number))
        done = ended(running, 60)
        assert time.monotonic() - start < 10
    assert [process.status for process in done] == statuses, done
    steps = {int(re.search(STOPPED, process.err).group(1)) for process in done}
    assert len(steps) == 1
    assert not (workdir / "result.json").exists()
    assert main(["train", f"--workdir={workdir}"]) == 0
    assert_same_losses(workdir, alone)


def test_two_processes_go_on_from_what_one_has_saved(alone, flags, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(StopRequests, "after", lambda self, step: step == 5)
        assert main(["train", *flags, f"--workdir={workdir}"]) == 143
    done = together("-m", "jreid", "train", f"--workdir={workdir}")
    assert [process.status for process in done] == [0, 0], done
    assert "going on from step 5 of 22" in done[0].err
    assert_same_losses(workdir, alone)
    assert rows_of(workdir) == rows_of(alone)
