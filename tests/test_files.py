import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

from jreid.errors import InputError
from jreid.files import UNFINISHED, write_text, write_whole


def test_a_file_is_written_with_its_folder_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "röd")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "röd".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


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
