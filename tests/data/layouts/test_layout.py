"""What a layout outside of jreid lists is checked, and may lie anywhere."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from jreid.data.check import check
from jreid.data.dataset import Source, load
from jreid.data.layouts.layout import Listing, Row
from jreid.errors import InputError

LAYOUT = "outside.layout_of_this_test"


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A source whose layout lists the given rows."""

    def source(rows, faults=()) -> Source:
        module = ModuleType(LAYOUT)
        vars(module)["list_images"] = lambda folder, setting: Listing(rows, [*faults], {})
        for name in (LAYOUT, LAYOUT.partition(".")[0]):
            monkeypatch.setitem(sys.modules, name, module)
        (tmp_path / "data").mkdir()
        return Source("mine", LAYOUT, tmp_path / "data")

    return source


@pytest.fixture
def rows(tmp_path):
    """Four people, each with one image of each modality, in a folder beside the dataset's."""
    rng, found = np.random.default_rng(0), []
    for identity in range(4):
        for camera, modality in ((1, "visible"), (2, "infrared")):
            path = tmp_path / "elsewhere" / f"{identity}_{camera}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8)).save(path)
            split = "test" if identity % 2 else "train"
            found.append(Row(path.stem, identity, camera, modality, split, path))
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "'' has the name '', which is not plain UTF-8 text"),
        ({"name": "a\udcff"}, r"has the name 'a\\udcff', which is not plain UTF-8 text"),
        ({"name": Path("a")}, "which is not plain UTF-8 text"),
        ({"modality": "thermal"}, "has the modality 'thermal', which is not one of"),
        ({"split": "val"}, "has the split 'val', which is not one of"),
        ({"camera": "1"}, "has the camera '1', which is not a whole number"),
        ({"path": "a.png"}, "has the path 'a.png', which is not a pathlib.Path"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(change, message, listed, rows):
    source = listed([*rows[:-1], rows[-1]._replace(**change)])
    with pytest.raises(InputError, match=f"^list_images of {LAYOUT}: .*{message}"):
        check(source)


def test_a_layout_without_rows_and_faults_is_not_sound(listed, tmp_path):
    source = listed([])
    report = check(source)
    assert not report.sound and "holds none of the images" in str(report.faults[0])
    with pytest.raises(InputError, match="holds none of the images"):
        load(source, tmp_path / "prepared")


@pytest.mark.parametrize("act", [check, lambda source: load(source, Path("prepared"))])
def test_a_row_of_another_type_is_refused(act, listed, rows):
    message = f"^list_images of {LAYOUT}, among its rows, returns a tuple, not a .*Row;"
    with pytest.raises(InputError, match=message):
        act(listed([*rows, tuple(rows[0])]))


def test_a_fault_of_another_type_is_refused(listed, rows):
    with pytest.raises(InputError, match=r"among its faults, returns a str, not a .*Fault;"):
        check(listed(rows, ["a.png is missing"]))


def test_rows_that_are_no_list_are_refused(listed, rows):
    with pytest.raises(InputError, match=r"as rows, returns a generator, not a .*list;"):
        check(listed(row for row in rows))


def test_rows_of_which_some_have_a_split_are_refused(listed, rows):
    source = listed([*rows[:-1], rows[-1]._replace(split="")])
    with pytest.raises(InputError, match="some images have no split, such as '3_2', and"):
        check(source)


@pytest.mark.parametrize(
    "splits", [("train", "test"), ("validation", "test"), ("train", "validation")]
)
@pytest.mark.parametrize("act", [check, lambda source: load(source, Path("prepared"))])
def test_an_identity_of_two_splits_is_refused(act, splits, listed, rows):
    both = [row._replace(split=split) for row, split in zip(rows[:2], splits, strict=True)]
    with pytest.raises(InputError) as error:
        act(listed([*both, *rows[2:]]))
    first, second = splits
    assert f"identity 0 is in the splits {first} and {second}" in str(error.value)


@pytest.mark.parametrize("change", [{}, {"camera": 3}, {"modality": "infrared"}])
@pytest.mark.parametrize("act", [check, lambda source: load(source, Path("prepared"))])
def test_a_name_of_two_images_is_refused(act, change, listed, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twice = rows[2]._replace(name=rows[0].name, **change)
    with pytest.raises(InputError) as error:
        act(listed([*rows, twice]))
    assert f"'0_1' is the name of {rows[0].path} and of {twice.path};" in str(error.value)
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize("relative", [False, True])
def test_bad_images_are_named_wherever_they_are(relative, listed, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if relative:
        rows = [row._replace(path=row.path.relative_to(tmp_path)) for row in rows]
    rows[0].path.write_bytes(b"")
    Image.new("I;16", (8, 16), 999).save(rows[2].path)
    source = listed(rows)
    report = check(source)
    assert {f"{rows[0].path}", f"{rows[2].path}"} <= {fault.place for fault in report.faults}
    with pytest.raises(InputError, match=f"{rows[2].path} has 16 bits per channel.*{rows[0].path}"):
        load(source, tmp_path / "prepared")
