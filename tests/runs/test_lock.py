import os
import signal
import subprocess
import sys

import pytest
from helpers.paths import ROOT

from jreid.errors import InputError
from jreid.runs.lock import LOCK_FILE, locked

HOLD = """
import sys, time
from pathlib import Path
from jreid.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_the_holder_named(tmp_path):
    with locked(tmp_path / "run"):
        with (
            pytest.raises(InputError, match=f"in use by process {os.getpid()} on "),
            locked(tmp_path / "run"),
        ):
            pass
        assert (tmp_path / "run" / LOCK_FILE).exists()
    with locked(tmp_path / "run"):
        pass


def test_the_lock_dies_with_its_process(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="in use"), locked(tmp_path / "run"):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK_FILE).exists()


def test_a_folder_that_stays_empty_is_removed_and_another_kept(tmp_path):
    with locked(tmp_path / "empty"):
        pass
    assert not (tmp_path / "empty").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"run cannot be written to \(Not a directory\)"),
        locked(tmp_path / "file" / "run"),
    ):
        pass
