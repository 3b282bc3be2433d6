"""Folders that several processes make at once, and that killed ones leave unfinished."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jreid.data.whole_folder import whole_folder

KILLED = """
import sys, time
from pathlib import Path
from jreid.data.whole_folder import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "a" / "b") as folder:
        (folder / "file").touch()
        assert not (tmp_path / "a" / "b").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "file"]
    with pytest.raises(KeyError), whole_folder(tmp_path / "c") as folder:
        raise KeyError
    assert not folder.exists() and not (tmp_path / "c").exists()


@pytest.mark.fault("B4")
def test_the_first_to_end_makes_it_and_the_other_leaves_nothing(tmp_path):
    with whole_folder(tmp_path / "b") as slow:
        (slow / "slow").touch()
        with whole_folder(tmp_path / "b") as fast:
            assert fast != slow
            (fast / "fast").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "fast"]


def test_a_folder_that_only_one_may_make(tmp_path):
    with (
        pytest.raises(OSError, match=r"b'$"),
        whole_folder(tmp_path / "b", keep_other=False),
        whole_folder(tmp_path / "b") as fast,
    ):
        (fast / "fast").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "fast"]


def test_a_name_with_brackets_is_no_pattern(tmp_path):
    left = tmp_path / ".b.0a1b2c3d.partial"
    left.mkdir()
    with whole_folder(tmp_path / "[ab]"):
        assert left.exists()
    left.rename(tmp_path / ".[ab].0a1b2c3d.partial")
    with whole_folder(tmp_path / "[ab]"):
        assert not (tmp_path / ".[ab].0a1b2c3d.partial").exists()


@pytest.mark.fault("B4")
def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    open_folder, opened = os.open, []

    def open_removed(path, flags):
        if not opened:
            Path(path).rmdir()
        opened.append(path)
        return open_folder(path, flags)

    monkeypatch.setattr(os, "open", open_removed)
    with whole_folder(tmp_path / "b") as folder:
        assert opened[-1] == folder != opened[0]
    assert (tmp_path / "b").is_dir()


@pytest.mark.fault("B4")
def test_what_a_killed_process_leaves_is_removed_and_what_a_live_one_fills_is_not(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "b")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout.readline() == b"begun\n"
    with whole_folder(tmp_path / "b") as folder:
        (left,) = {*tmp_path.iterdir()} - {folder}
        assert (left / "half").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with whole_folder(tmp_path / "b"):
        assert not left.exists()
