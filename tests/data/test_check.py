"""`check` tells everything in one pass and writes nothing."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from jreid.data.check import check, format_report
from jreid.data.dataset import Source, make_table
from jreid.data.layouts.layout import Group


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


def test_everything_is_reported_at_once(source):
    folder = source.folder
    first, second, third, fourth = sorted((folder / "cam4").glob("*/*.jpg"))[:4]
    first.unlink()
    second.write_bytes(b"")
    third.write_bytes(fourth.read_bytes())
    shutil.copy(fourth, folder / "stray.jpg")
    before = sorted(folder.rglob("*"))
    report = check(source)
    assert not report.sound
    message = [str(fault) for fault in report.faults]
    for path, what in (
        (first, "missing"),
        (second, "is not a JPEG"),
        (fourth, "holds the same bytes"),
        (folder / "stray.jpg", ""),
    ):
        place = path.relative_to(folder).with_suffix("").as_posix()
        assert any(place in line and what in line for line in message), (place, message)
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


def test_the_bytes_of_the_images_are_not_kept(source, monkeypatch):
    kept = []
    monkeypatch.setattr(
        "jreid.data.check.make_table", lambda images: kept.extend(images) or make_table(images)
    )
    check(source)
    assert kept and {len(image.content) for image in kept} == {32}


@pytest.mark.fault("C1")
def test_identities_of_one_modality_are_reported_by_the_names_of_their_folders(tmp_path):
    folder = tmp_path / "mine"
    people = ["visible/ann", "infrared/ann", "visible/bob", "visible/cyd", "infrared/cyd"]
    for number, name in enumerate([*people, "infrared/dan", "visible/eve"]):
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8), number).save(folder / name / "c1.png")
    text = "ann train\nbob train\ncyd test\ndan test\neve validation\n"
    (folder / "splits.txt").write_text(text)
    report = check(Source("mine", "folder", folder))
    message = {
        str(fault).split(";")[0]: fault.kind for fault in report.faults if "only" in fault.what
    }
    assert message == {
        "train has 1 identity with visible images only: bob": "error",
        "test has 1 identity with infrared images only: dan": "warning",
        "validation has 1 identity with visible images only: eve": "warning",
    }


@pytest.mark.fault("A9")
def test_deep_images_are_reported_with_their_values(source):
    paths = sorted((source.folder / "cam3").glob("*/*.jpg"))[:2]
    for number, path in enumerate(paths):
        path.unlink()
        counts = np.arange(number + 600, number + 600 + 64 * 32, dtype=np.uint16)
        Image.fromarray(counts.reshape(64, 32)).save(path.with_suffix(".png"))
    (fault,) = check(source).faults
    assert fault.kind == "error"
    assert fault.place == str(paths[0].with_suffix(".png").relative_to(source.folder))
    assert "16 bits per channel (such images in all: 2), values of 600 to 2,648" in fault.what
    assert "--config.data.depth_range='(LOW,HIGH)'" in fault.what
    report = check(source._replace(depth_range=(600, 2_648)))
    assert report.sound
    (note,) = report.faults
    assert "values up to 600 become black, from 2,648 white" in note.what


def test_images_that_exif_turns_are_counted(source):
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = sorted((source.folder / "cam3").glob("*/*.jpg"))[:2]
    for path in paths:
        Image.open(path).save(path, exif=exif)
    report = check(source)
    (note,) = report.faults
    assert report.sound and note.place == str(paths[0].relative_to(source.folder))
    assert "such images in all: 2" in note.what
