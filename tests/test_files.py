import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.paths import ROOT

from jreid.errors import InputError
from jreid.files import (
    LARGEST,
    UNFINISHED,
    one_at_a_time,
    read_json,
    sha256_of,
    write_text,
    write_whole,
)


def test_a_file_is_written_with_its_folder_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "röd")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "röd".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_file_that_is_too_large_or_a_pipe_is_not_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": "röd"}', encoding="utf-8")
    assert read_json(path) == {"a": "röd"}
    os.truncate(path, LARGEST + 1)
    with pytest.raises(ValueError, match="larger than 200,000,000 bytes"):
        read_json(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        read_json(tmp_path / "pipe")


@pytest.mark.parametrize("name", [".", "..", "/", "", "folder"])
def test_a_folder_is_no_place_for_a_file(tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is a folder; name a file\.$") as raised:
        write_text(Path(name), "text")
    assert str(raised.value).startswith(str(Path(name)))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_names_that_no_file_can_have(tmp_path, name):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / name, "text")
    assert (tmp_path / "file").read_text() == "kept"
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from jreid.files import write_whole

def half(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_whole(Path(sys.argv[1]), half)
"""


@pytest.mark.fault("B10")
def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "file[1]"
    write_text(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, path], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    (left,) = {*tmp_path.iterdir()} - {path}
    assert UNFINISHED.fullmatch(left.name)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [*tmp_path.iterdir()] == [path]


def test_two_at_once_write_one_after_the_other(tmp_path):
    def slowly(file):
        file.write(b"first")
        write_text(tmp_path / "file", "second")

    write_whole(tmp_path / "file", slowly)
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["folder", "file"])
def test_a_process_that_keeps_a_lock_is_waited_for_but_not_for_ever(name, tmp_path, caplog):
    (tmp_path / "folder").mkdir()
    caplog.set_level("INFO", "jreid")
    entered = []

    def wait(patience):
        with one_at_a_time(tmp_path / name, "resizes images", patience):
            entered.append(patience)

    impatient, patient = (threading.Thread(target=wait, args=[s], daemon=True) for s in (0.1, 60))
    with one_at_a_time(tmp_path / name, "resizes images", 60):
        patient.start()
        impatient.start()
        impatient.join(10)
        assert entered == [0.1]
    patient.join(10)
    assert entered == [0.1, 60]
    assert "another process resizes images; waiting" in caplog.text
    assert f"{tmp_path / name} is still locked" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"folder", name}


def test_nobody_waits_where_nothing_can_be_locked(tmp_path):
    with one_at_a_time(tmp_path / "missing" / "file", "resizes images", 60):
        pass
    assert not [*tmp_path.iterdir()]


def test_the_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")
