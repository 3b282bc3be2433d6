from pathlib import Path

import pytest

from jreid.errors import InputError
from jreid.files import write_text


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
