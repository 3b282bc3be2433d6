"""The verbs on two processes of two devices each, as on one process of four devices."""

import json
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.run_folder import rows_of, state_of
from helpers.together import ended, started, together

from jreid.__main__ import main
from jreid.distributed.preemption import StopSignals

pytestmark = pytest.mark.slow
JREID = "-m", "jreid"
STOPPED = r"jreid: stopped and saved at step (\d+); give the same command again to resume"


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return [
        f"--config={ROOT}/configs/agw.py:tiny",
        "--config.method=helpers.small_method",
        f"--config.data.folder={tiny_folder}",
        f"--config.data.prepared={prepared}",
        "--config.image.erase_probability=0.5",
        "--config.pictures_every_epochs=2",
    ]


@pytest.fixture(scope="module")
def alone(flags, tmp_path_factory):
    """A run by one process."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    assert main(["train", "--no-report", *flags, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def both(flags, tmp_path_factory):
    """A run by two processes, and how they ended."""
    workdir = tmp_path_factory.mktemp("both") / "run"
    done = together(*JREID, "train", "--no-report", *flags, f"--workdir={workdir}")
    assert [process.status for process in done] == [0, 0], done
    return workdir, done


def losses_of(workdir):
    lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
    message = [json.loads(line) for line in lines]
    return {line["step"]: line["model/loss"] for line in message if "model/loss" in line}


def assert_same_losses(ours, theirs):
    ours, theirs = losses_of(ours), losses_of(theirs)
    assert [*ours] == [*theirs] == [*range(1, 23)]
    np.testing.assert_allclose([*ours.values()], [*theirs.values()], rtol=1e-5)


def assert_close_metrics(ours, theirs):
    """But for images so near to each other that a last bit of training swaps their ranks."""
    for a, b in zip(rows_of(ours), rows_of(theirs), strict=True):
        assert a["fingerprint"] == b["fingerprint"]
        assert a["cmc"] == pytest.approx(b["cmc"], abs=0.01)
        assert (a["mAP"], a["mINP"]) == pytest.approx((b["mAP"], b["mINP"]), abs=0.01)


def test_losses_agree(alone, both):
    assert_same_losses(both[0], alone)


def test_trained_models_score_alike(alone, both):
    assert_close_metrics(both[0], alone)


def test_a_checkpoint_has_equal_ranks(alone, tmp_path):
    shutil.copytree(alone, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    done = together(*JREID, "evaluate", "--trust-code", f"--workdir={tmp_path}/run")
    assert [process.status for process in done] == [0, 0], done
    assert rows_of(tmp_path / "run") == rows_of(alone)


def test_states_agree(alone, both):
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
    arguments = ["embed", "--trust-code", f"--workdir={alone}", "--split=test"]
    assert main([*arguments, f"--output={tmp_path}/alone.npz"]) == 0
    done = together(*JREID, *arguments, f"--output={tmp_path}/both.npz")
    assert [process.status for process in done] == [0, 0], done
    ours, theirs = np.load(tmp_path / "both.npz"), np.load(tmp_path / "alone.npz")
    assert (ours["names"] == theirs["names"]).all()
    np.testing.assert_allclose(ours["features"], theirs["features"], rtol=1e-5, atol=1e-6)


@pytest.mark.fault("F03")
@pytest.mark.parametrize(("number", "statuses"), [("SIGTERM", [143, 143]), ("SIGINT", [143, 130])])
def test_a_stop_saves_the_same_step_in_both(flags, tmp_path, number, statuses):
    workdir = tmp_path / "run"
    long = ["--config.epochs=1000", "--config.evaluation.every_epochs=0"]
    with started(*JREID, "train", "--no-report", *flags, *long, f"--workdir={workdir}") as running:
        for line in running[0].stderr:
            if line.startswith("step 30/"):
                break
        start = time.time()
        running[1].send_signal(getattr(signal, number))
        done = ended(running, 120)  # a busy machine unloads slowly; what counts is saved by then
    assert [process.status for process in done] == statuses, done
    first, second = (int(re.search(STOPPED, process.err).group(1)) for process in done)
    assert first == second
    assert (workdir / "checkpoints" / str(first)).stat().st_mtime - start < 10
    assert main(["evaluate", "--trust-code", f"--workdir={workdir}"]) == 0
    assert {row["step"] for row in rows_of(workdir)} == {first}


def test_two_processes_go_on_from_what_one_has_saved(alone, flags, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "after", lambda self, step: step == 5)
        assert main(["train", "--no-report", *flags, f"--workdir={workdir}"]) == 143
    done = together(*JREID, "train", "--trust-code", f"--workdir={workdir}")
    assert [process.status for process in done] == [0, 0], done
    assert "resuming at step 5 of 22" in done[0].err
    assert_same_losses(workdir, alone)
    assert_close_metrics(workdir, alone)
