import os
import shutil
from pathlib import Path

import pytest

from jreid.data.layouts.layout import Count, Group, counts
from jreid.data.layouts.regdb import COUNTS, SETTING, list_images
from jreid.errors import InputError

IDENTITIES = (1, 2, 5, 412)
NAMES = sorted(
    f"{part}/{identity}/male_back_{part[0].lower()}_{image:05d}_{identity}"
    for part in ("Visible", "Thermal")
    for identity in IDENTITIES
    for image in (1, 2)
)
LIST = "idx/train_visible_1.txt"  # identities 1 and 2


@pytest.fixture
def folder(tmp_path) -> Path:
    """Empty images; odd trials train on identities 1 and 2, even ones on 5 and 412."""
    root = tmp_path / "RegDB für alle"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.bmp").touch()
    (root / "idx").mkdir()
    for trial in range(1, 11):
        halves = [IDENTITIES[:2], IDENTITIES[2:]]
        train, test = halves if trial % 2 else halves[::-1]
        for split, identities in (("train", train), ("test", test)):
            for part in ("Visible", "Thermal"):
                lines = [
                    f"{name}.bmp {label}\n"
                    for label, identity in enumerate(identities)
                    for name in NAMES
                    if name.startswith(f"{part}/{identity}/")
                ]
                file = root / "idx" / f"{split}_{part.lower()}_{trial}.txt"
                file.write_text("".join(lines))
    return root


def faults_of(folder: Path, trial: int = 1) -> list[tuple[str, str]]:
    """The faults without their remedies, and their kinds."""
    faults = list_images(folder, trial).faults
    assert all("\n" not in str(fault) for fault in faults)
    assert all(";" in fault.what for fault in faults if not fault.harmless)
    return [(str(fault).split(";")[0], fault.kind) for fault in faults]


def edit(folder: Path, change, file: str = LIST) -> None:
    """Changes a list's lines."""
    path = folder / file
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("trial", [0, 1, 2])
def test_rows_carry_what_paths_and_lists_say(folder, trial):
    listing = list_images(folder, trial)
    assert listing.faults == []
    assert listing.gallery_index == {}
    assert [row.name for row in listing.rows] == NAMES
    trained = (5, 412) if trial == 2 else (1, 2)
    for row in listing.rows:
        part, identity, _ = row.name.split("/")
        assert row.path == folder / f"{row.name}.bmp"
        assert row.identity == int(identity)
        assert (row.camera, row.modality) == {
            "Visible": (1, "visible"),
            "Thermal": (2, "infrared"),
        }[part]
        assert row.split == ("train" if row.identity in trained else "test")


def test_counts_are_of_the_same_groups(folder):
    assert counts(list_images(folder).rows).keys() == COUNTS.keys()
    assert sum(count.images for count in COUNTS.values()) == 8_240
    assert COUNTS[Group("test", "infrared", 2)] == Count(206, 2_060)
    assert [*SETTING.choices] == [*range(1, 11)]


@pytest.mark.parametrize("trial", [-1, 11])
def test_there_are_ten_trials(folder, trial):
    with pytest.raises(InputError, match="it must be 1 to 10"):
        list_images(folder, trial)


FIRST = "Visible/1/male_back_v_00001_1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: lines.append("Visible/1/male_back_v_00001_1.bmp 0"),
            f"{LIST}:5 names {FIRST} again, after {LIST}:1",
        ),
        (lambda lines: lines.__setitem__(3, lines[3] + " 7"), f"{LIST}:4 has 3 columns"),
        (lambda lines: lines.append(f"/{FIRST}.bmp 0"), f"{LIST}:5 names '/{FIRST}.bmp', which"),
        (lambda lines: lines.append("Visible/../a.bmp 0"), f"{LIST}:5 names 'Visible/../a.bmp'"),
        (lambda lines: lines.append("Thermal/1/a.bmp 0"), f"{LIST}:5 names 'Thermal/1/a.bmp'"),
        (lambda lines: lines.append("Visible/-1/a.bmp 0"), f"{LIST}:5 names 'Visible/-1/a.bmp'"),
        (lambda lines: lines.append("Visible/x/a.bmp 0"), f"{LIST}:5 names 'Visible/x/a.bmp'"),
        (
            lambda lines: lines.__setitem__(3, lines[3][:-1] + "-1"),
            f"{LIST}:4 has the label '-1'",
        ),
        (
            lambda lines: lines.__setitem__(3, lines[3][:-1] + "0"),
            f"{LIST}:4 gives identity 2 the label 0",
        ),
        (
            lambda lines: lines.__setitem__(3, lines[3][:-1] + "3"),
            f"{LIST}:4 gives identity 2 the label 3",
        ),
        (
            lambda lines: lines.append("Visible/5/male_back_v_00001_5.bmp 2"),
            "idx/test_visible_1.txt:1 names identity 5, which is in the train split too",
        ),
        (lambda lines: lines.clear(), f"{LIST} is empty"),
    ],
)
def test_a_wrong_list_is_reported_with_its_line(folder, change, message):
    edit(folder, change)
    faults = faults_of(folder)
    assert faults[0][0].startswith(message)
    assert faults[0][1] == "error"
    assert faults_of(folder, 2) == []


def test_an_identity_without_a_folder_is_missing_at_its_line(folder):
    edit(folder, lambda lines: lines.append("Visible/99/a.bmp 2"))
    message = f"{LIST}:5 names Visible/99, a missing folder, with 1 of its images"
    assert faults_of(folder) == [(message, "missing")]


def test_images_that_a_trial_does_not_list_are_wrong_for_it(folder):
    edit(folder, lambda lines: lines.pop(0))
    (folder / "Thermal/5/extra.bmp").touch()
    message = [
        ("Thermal/5/extra.bmp is in no list of trial 1", "error"),
        (f"{FIRST}.bmp is in no list of trial 1", "error"),
    ]
    assert sorted(faults_of(folder)) == sorted(message)
    assert faults_of(folder, 2) == [("Thermal/5/extra.bmp is in no list of trial 2", "error")]
    message[0] = (
        "Thermal/5/extra.bmp is in no list of trials 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "error",
    )
    assert sorted(faults_of(folder, 0)) == sorted(message)
    assert len(list_images(folder).rows) == len(NAMES) - 1


@pytest.mark.parametrize("trial", [0, 1])
def test_a_half_unpacked_folder_is_reported_once_for_all_trials(folder, trial):
    (folder / f"{FIRST}.bmp").unlink()
    shutil.rmtree(folder / "Visible/2")
    shutil.rmtree(folder / "Thermal")
    assert faults_of(folder, trial) == [
        (f"{LIST}:1 names {FIRST}, a missing image", "missing"),
        (f"{LIST}:3 names Visible/2, a missing folder, with 2 of its images", "missing"),
        (
            "idx/train_thermal_1.txt:1 names Thermal, a missing folder, with 8 of its images",
            "missing",
        ),
    ]
    left = [name for name in NAMES if name.startswith("Visible/") and "/2/" not in name]
    assert [row.name for row in list_images(folder, trial).rows] == left[1:]


def test_missing_lists_are_reported(folder):
    (folder / LIST).unlink()
    assert faults_of(folder) == [(f"{LIST} is missing", "missing")]
    shutil.rmtree(folder / "idx")
    assert faults_of(folder, 0) == [("idx is missing", "missing")]


def test_all_faults_come_in_one_pass(folder):
    (folder / f"{FIRST}.bmp").unlink()
    (folder / "stray.png").touch()
    (folder / "Visible/1/MALE.BMP").touch()
    (folder / "idx/test_thermal_1.txt").unlink()
    edit(folder, lambda lines: lines.extend(["x", "Visible/1/a.bmp 9"]))
    assert [message for message, _ in faults_of(folder)] == [
        "the folder holds 1 image in places that this layout does not have (1 .png), left out",
        f"{LIST}:5 has 1 column, not PATH LABEL",
        f"{LIST}:6 gives identity 1 the label 9, but earlier 0",
        "idx/test_thermal_1.txt is missing",
        f"{LIST}:1 names {FIRST}, a missing image",
        f"{LIST}:6 names Visible/1/a, a missing image",
    ]


def test_line_ends_and_a_byte_order_mark_and_blank_lines_are_only_odd(folder):
    rows = list_images(folder).rows
    text = (folder / LIST).read_text().replace("\n", "\r\n\r\n", 1)
    (folder / LIST).write_bytes(b"\xef\xbb\xbf" + text.encode())
    listing = list_images(folder)
    assert listing.rows == rows
    assert [fault.kind for fault in listing.faults] == ["note"] * 3


def test_capital_suffixes_and_other_systems_files_change_nothing(folder):
    names = [(row.name, row.split) for row in list_images(folder).rows]
    for path in sorted(folder.glob("Thermal/*/*.bmp")):
        path.rename(path.with_suffix(".BMP"))
        (path.parent / f"._{path.name}").touch()
        (path.parent / "Thumbs.db").touch()
    os.symlink("..", folder / "Visible" / "loop")
    listing = list_images(folder)
    (hidden,) = listing.faults
    assert hidden.kind == "warning" and "hidden files and folders" in hidden.what
    assert [(row.name, row.split) for row in listing.rows] == names
    assert all(row.path.exists() for row in listing.rows)
