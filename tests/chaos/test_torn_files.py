"""A disk that fails at any one operation, and power cuts: old content or new content, whole."""

import errno
import json
import shutil
import threading

import numpy as np
import pytest
from helpers.faulty_files import failing_once, injected, power_cuts
from helpers.paths import ROOT
from jax import numpy as jnp

from jreid import config as configs
from jreid.data.whole_folder import whole_folder
from jreid.engine.state import TrainState
from jreid.errors import InputError
from jreid.evaluation import write_result
from jreid.evaluation.results.feature_file import read_features
from jreid.files import rename_whole, sync, write_text, write_whole
from jreid.runs import checkpoint_folder, embed
from jreid.runs.checkpoint_folder import UNFINISHED, StepFolders
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.run import Run

pytestmark = pytest.mark.fault("B10")
ERRORS = [errno.ENOSPC, errno.EIO]


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def survives(tmp_path, write, read, old, new):
    """Whether `write(folder, value)` leaves what `read(folder)` finds whole, whatever fails.

    Returns:
        The kinds of operation that failed.
    """
    broke = set()
    write(tmp_path / "clean", old)
    write(tmp_path / "clean", new)
    clean = names(tmp_path / "clean")
    for number in ERRORS:
        for layer in failing_once(number):
            folder = tmp_path / f"{number}_{layer.fails}"
            write(folder, old)
            raised = None
            try:
                with injected(layer):
                    write(folder, new)
            except InputError as error:
                raised = error
            message = f"{layer.broke} failed with {raised}"
            assert read(folder) in ((old, new) if raised else (new,)), message
            write(folder, new)
            assert read(folder) == new, message
            left = {*names(folder)} - {*clean}
            assert not left or layer.broke.startswith(("unlink", "rmdir")), (message, left)
            broke.add(layer.broke.partition(" ")[0])
    return broke


def test_a_text(tmp_path):
    def write(folder, text):
        write_text(folder / "sub" / "text", text)

    broke = survives(
        tmp_path, write, lambda folder: (folder / "sub" / "text").read_text(), "a", "b"
    )
    assert {"open", "write", "fsync", "replace"} <= broke


def test_a_file_in_a_new_folder(tmp_path):
    for layer in failing_once(errno.ENOSPC):
        path = tmp_path / str(layer.fails) / "a" / "b"
        with injected(layer):
            try:
                write_text(path, "whole")
            except InputError:
                assert not path.exists() or path.read_text() == "whole"
        write_text(path, "whole")
        assert names(tmp_path / str(layer.fails)) == ["a", "a/b"]


def test_a_result(tmp_path):
    def write(folder, value):
        write_result(folder / "result.json", {"rows": [], "value": value})

    def read(folder):
        return json.loads((folder / "result.json").read_text())["value"]

    survives(tmp_path, write, read, 1, 2)


def test_a_file_of_features(tmp_path):
    columns = {
        "names": np.array(["cam1/0001/0001"]),
        "identities": np.array([1]),
        "cameras": np.array([1]),
        "modalities": np.array(["visible"]),
    }

    def write(folder, value):
        embed._write(folder / "features.npz", np.full((1, 2), value, np.float32), **columns)

    def read(folder):
        return read_features(folder / "features.npz")[0][0, 0]

    survives(tmp_path, write, read, 1, 2)


def test_a_folder_that_gets_its_name(tmp_path):
    for number in ERRORS:
        for layer in failing_once(number):
            folder = tmp_path / f"{number}_{layer.fails}"
            (folder / "unfinished" / "sub").mkdir(parents=True)
            (folder / "unfinished" / "sub" / "file").write_text("whole")
            try:
                with injected(layer):
                    rename_whole(folder / "unfinished", folder / "finished")
            except OSError:
                assert layer.broke
            (whole,) = folder.iterdir()
            assert (whole / "sub" / "file").read_text() == "whole"
            assert whole.name == "finished" or layer.broke


def steps(folder):
    """The steps that are whole after a restart, which clears."""
    folders = StepFolders(folder)
    if folder.exists():
        folders.clear()
    return [step for step in folders.steps() if folders.is_whole(step)], folders.latest()


def finish(folder, step, score=None):
    folders = StepFolders(folder)
    folders.unfinished(step).mkdir(parents=True, exist_ok=True)
    (folders.unfinished(step) / "array").write_bytes(bytes([step]) * 99)
    folders.finish(step, {"score": score})


@pytest.mark.parametrize(("damaged", "number"), [(False, errno.ENOSPC), (True, errno.EIO)])
def test_steps_of_a_run(tmp_path, damaged, number):
    """Whatever fails while a step is named and older ones go, one that is whole is there."""
    before = tmp_path / "before"
    for step, score in ((2, 0.9), (4, 0.1), (6, 0.2)):
        finish(before, step, score)
    if damaged:
        finish(before, 8)
        (before / "8" / "array").write_bytes(b"damaged")
    for layer in failing_once(number):
        folder = shutil.copytree(before, tmp_path / str(layer.fails))
        try:
            with injected(layer):
                finish(folder, 8)
        except (OSError, InputError):
            assert layer.broke
        whole, latest = steps(folder)
        assert {2, 6} <= {*whole}, layer.broke
        assert latest in (6, 8), layer.broke
        finish(folder, 8)
        assert steps(folder) == ([2, 6, 8], 8)
        assert not any(UNFINISHED in name for name in names(folder))


def state_of(step):
    return TrainState(
        jnp.asarray(step, jnp.int32), {"kernel": jnp.full(3, step + 0.1)}, {}, {"model": {}}
    )


def test_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_folder.time, "sleep", lambda seconds: None)
    broke, threads = set(), {*threading.enumerate()}
    for layer in failing_once(errno.ENOSPC, ["open", "mkdir", "rename"]):
        folder = tmp_path / str(layer.fails)
        with Checkpoints(folder, writes=True) as checkpoints:
            checkpoints.save(state_of(5))
        try:
            with injected(layer), Checkpoints(folder, writes=True) as checkpoints:
                checkpoints.save(state_of(6))
        except InputError as error:
            assert "step 6 cannot be written" in str(error), layer.broke
        for thread in {*threading.enumerate()} - threads:  # a new process would have none of them
            if not thread.daemon:
                threading.Thread.join(thread, 60)  # that of Orbax raises what the thread has raised
        with Checkpoints(folder, writes=True) as checkpoints:
            assert checkpoints.newest() in (5, 6), layer.broke
            checkpoints.save(state_of(6))
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.newest() == 6
        broke.add(layer.broke.partition(" ")[0])
    assert {"open", "rename", "mkdir"} <= broke
    waiting = {*threading.enumerate()} - threads
    assert not [thread for thread in waiting if not thread.daemon], "the process would not end"


def test_a_runs_claim(tmp_path):
    config = configs.load(f"{ROOT}/configs/agw.py:tiny", [])
    for layer in failing_once(errno.ENOSPC):
        run = Run(tmp_path / str(layer.fails))
        try:
            with injected(layer):
                run.claim(config, None)
        except InputError:
            assert layer.broke
        run.claim(config, None)
        assert json.loads(run.provenance_file.read_text())["method"] == "agw"
        assert not run.changes(config)


def test_what_a_killed_claim_has_left_stops_no_run(tmp_path):
    """It is no file of the user's, so that the folder counts as empty."""
    left = []

    def killed(file):
        left.extend(path.name for path in tmp_path.iterdir())

    write_whole(tmp_path / "config.json", killed)
    (tmp_path / "config.json").rename(tmp_path / left[0])
    Run(tmp_path).check(configs.load(f"{ROOT}/configs/agw.py:tiny", []))


def promised(path):
    """Whether a name tells that what has it is whole."""
    return "unfinished" not in str(path) and "partial" not in str(path)


def test_a_power_cut_loses_nothing_that_has_its_name(tmp_path):
    with power_cuts(promised) as lost:
        write_text(tmp_path / "a" / "b" / "text", "text")
        with Checkpoints(tmp_path / "run" / "checkpoints", writes=True) as checkpoints:
            for step in (1, 2, 3, 4):
                checkpoints.save(state_of(step), score=step % 2)
        Run(tmp_path / "run").write_result({"rows": []})
        with whole_folder(tmp_path / "packed") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text("text")
    assert not lost


def test_power_cuts_are_seen(tmp_path):
    """Of the recording itself."""
    for number, synced in enumerate([(), ("file",), ("file", "folder")]):
        folder = tmp_path / str(number)
        (folder / "old").mkdir(parents=True)
        (folder / "old" / "file").write_text("text")
        with power_cuts() as lost:
            if "file" in synced:
                sync(folder / "old" / "file")
            if "folder" in synced:
                sync(folder / "old")
            (folder / "old").rename(folder / "new")
        assert len(lost) == 3 - number
