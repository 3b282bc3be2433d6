"""`check` tells everything in one pass and writes nothing."""

import io
import shutil

import pytest
from rich.console import Console

from jreid.data.check import check, format_report
from jreid.data.dataset import Source
from jreid.data.listing import Group


@pytest.fixture
def source(tiny_folder, tmp_path):
    return Source("tiny", "sysu_mm01", shutil.copytree(tiny_folder, tmp_path / "copy"))


def shown(report) -> list[str]:
    console = Console(width=150, file=io.StringIO())
    console.print(format_report(report))
    return console.file.getvalue().splitlines()


def test_a_sound_folder(source):
    report = check(source)
    assert report.sound
    assert report.faults == []
    assert all(report.found[group] == count for group, count in report.expected.items())
    assert len(report.expected) == 3 * 6


def test_everything_is_told_at_once(source):
    folder = source.folder
    first, second, third, fourth = sorted((folder / "cam4").glob("*/*.jpg"))[:4]
    first.unlink()
    second.write_bytes(b"")
    third.write_bytes(fourth.read_bytes())
    shutil.copy(fourth, folder / "stray.jpg")
    before = sorted(folder.rglob("*"))
    report = check(source)
    assert not report.sound
    told = [str(fault) for fault in report.faults]
    for path, what in (
        (first, "missing"),
        (second, "is no JPEG"),
        (fourth, "holds the same bytes"),
        (folder / "stray.jpg", ""),
    ):
        place = path.relative_to(folder).with_suffix("").as_posix()
        assert any(place in line and what in line for line in told), (place, told)
    assert sorted(folder.rglob("*")) == before


def test_the_table_shows_expected_and_found(source):
    path = min((source.folder / "cam4").glob("*/*.jpg"))
    path.unlink()
    report = check(source)
    (differs,) = [g for g, count in report.expected.items() if report.found.get(g) != count]
    assert isinstance(differs, Group) and differs.camera == 4
    images = report.expected[differs].images
    (line,) = [
        line for line in shown(report) if line.split()[:3] == [differs.split, differs.modality, "4"]
    ]
    assert line.split()[-2:] == [str(images - 1), str(images)]
