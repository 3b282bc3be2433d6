import os
import shutil
from pathlib import Path

import pytest

from jreid.data.layouts.folder import APPLY, COUNTS, list_images
from jreid.datasets import MODALITIES

IMAGES = {  # name: camera
    "infrared/10/a": 2,
    "infrared/10/b_c3_x": 3,
    "infrared/7/CAM04": 4,
    "visible/10/0001": 1,
    "visible/10/0002": 1,
    "visible/7/0001": 1,
    "visible/9/0001": 1,
}
SPLITS = "# mine\n7 train\n10 test # the last\n9\tvalidation\n"
OF_IDENTITY = {7: "train", 10: "test", 9: "validation"}
CAMERAS = ("without a camera in their names", ", all of camera")


MISPLACED = "images in places that this layout does not have"


def make_folder(root: Path, images=IMAGES, splits: str = SPLITS) -> Path:
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.jpg").touch()
    (root / "splits.txt").write_text(splits)
    return root


@pytest.fixture
def folder(tmp_path) -> Path:
    """Without the one image of an infrared camera that is not numbered."""
    return make_folder(tmp_path / "mine", [name for name in IMAGES if name != "infrared/10/a"])


def faults_of(folder: Path, on_cameras: bool = False) -> list[tuple[str, str]]:
    """The faults without their remedies, and their kinds; those on cameras or the others."""
    faults = list_images(folder).faults
    faults = [f for f in faults if any(message in f.what for message in CAMERAS) == on_cameras]
    assert all("\n" not in str(fault) for fault in faults)
    assert all(";" in fault.what for fault in faults if not fault.harmless)
    return [(str(fault).split(";")[0], fault.kind) for fault in faults]


def columns_of(folder: Path) -> list[tuple]:
    return [row[:-1] for row in list_images(folder).rows]


def test_rows_carry_what_paths_and_the_list_say(tmp_path):
    folder = make_folder(tmp_path)
    listing = list_images(folder)
    assert faults_of(folder) == []
    assert listing.gallery_index == {}
    assert {row.name: row.camera for row in listing.rows} == IMAGES
    assert [row.name for row in listing.rows] == sorted(IMAGES)
    for row in listing.rows:
        modality, identity, _ = row.name.split("/")
        assert (row.modality, row.identity) == (modality, int(identity))
        assert row.path == folder / f"{row.name}.jpg"
        assert row.split == OF_IDENTITY[row.identity]


def test_nothing_is_known_of_it_beforehand(folder):
    assert COUNTS == {}
    assert "splits.txt" in APPLY


@pytest.mark.parametrize(
    ("stem", "camera"),
    [
        ("c3", 3),
        ("cam3", 3),
        ("x_c03", 3),
        ("c12-x", 12),
        ("x-C5_y", 5),
        ("c3_cam3", 3),
        ("camera3", 3),
        ("0002_c4s1_000451_03", 4),
        ("0001_c2_f0046182", 2),
        ("0000_000_14_0303morning_0015_0", 14),
        ("0000_000_14_0303_0015_0", 1),
        ("c3s", 1),
        ("xc3", 1),
        ("c3x", 1),
        ("cam", 1),
        ("c.3", 1),
        ("scam3", 1),
    ],
)
def test_a_camera_stands_between_bounds(tmp_path, stem, camera):
    folder = make_folder(tmp_path, [f"visible/1/{stem}", "infrared/1/c99"], "1 train\n")
    assert faults_of(folder) == []
    assert [row.camera for row in list_images(folder).rows] == [99, camera]


@pytest.mark.parametrize(
    ("visible", "infrared", "cameras"),
    [
        (("x_c1_1", "x_c2_1"), ("0001",), {"0001": 3}),
        (("0001",), ("x_c1_1", "x_c3_1"), {"0001": 4}),
        (("x_c2_1", "0001"), ("x_c1_1", "0002"), {"0001": 3, "0002": 4}),
        (("x_c1_1", "0001"), ("x_c2_1", "0002"), {"0001": 1, "0002": 2}),
    ],
)
def test_images_without_a_camera_share_none_with_the_other_modality(
    tmp_path, visible, infrared, cameras
):
    names = [f"visible/anna/{stem}" for stem in visible]
    names += [f"infrared/anna/{stem}" for stem in infrared]
    folder = make_folder(tmp_path, names, "anna test\n")
    rows, faults, *_ = list_images(folder)
    stems = {row.path.stem: row.camera for row in rows}
    assert {stem: stems[stem] for stem in cameras} == cameras
    sides = ({row.camera for row in rows if row.modality == one} for one in MODALITIES)
    assert not set.intersection(*sides)
    notes = " ".join(map(str, faults))
    assert all(f"count as camera {camera}, which no " in notes for camera in cameras.values())


@pytest.mark.parametrize(("stem", "message"), [("c1_c2", "[1, 2]"), ("c0", "[0]")])
def test_an_impossible_camera_is_wrong(folder, stem, message):
    (folder / f"visible/7/{stem}.png").touch()
    assert faults_of(folder) == [(f"visible/7/{stem}.png names the cameras {message}", "error")]


def test_names_are_numbered_in_order(tmp_path):
    images = ["visible/bob/1", "infrared/Ann Ü/1", "visible/3/1"]
    folder = make_folder(tmp_path, images, "bob train\nAnn Ü test\n3 train")
    assert faults_of(folder) == []
    rows = list_images(folder).rows
    assert {row.name: row.identity for row in rows} == {
        "visible/3/1": 1,
        "infrared/Ann Ü/1": 2,
        "visible/bob/1": 3,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("8 train", "splits.txt:5 names identity 8, who has no image in visible or infrared"),
        ("-8 train", "splits.txt:5 names identity -8, who has no image in visible or infrared"),
        ("../7 train", "splits.txt:5 names identity ../7, who has no image in visible or infrared"),
        ("7 test", "splits.txt:5 names identity 7 again, which splits.txt:2 puts into train"),
        ("7 train", "splits.txt:5 names identity 7 again, which splits.txt:2 puts into train"),
        ("8", "splits.txt:5 is '8', not IDENTITY and one of train, validation, test"),
        ("8 val", "splits.txt:5 is '8 val', not IDENTITY and one of train, validation, test"),
        ("7 train 1", "splits.txt:5 is '7 train 1', not IDENTITY and one of train, "),
    ],
)
def test_a_wrong_line_is_reported_with_its_number(folder, line, message):
    (folder / "splits.txt").write_text(SPLITS + line)
    ((first, kind),) = faults_of(folder)
    assert first.startswith(message)
    assert kind == "error"


def test_two_folders_of_one_number_are_wrong(folder):
    (folder / "visible/07").mkdir()
    (folder / "visible/07/1.jpg").touch()
    (folder / "splits.txt").write_text(SPLITS + "07 train\n")
    message = "splits.txt:5 names identity 07, the same number as 7"
    assert faults_of(folder) == [(message, "error")]


def test_an_empty_list_lists_no_identity(folder):
    (folder / "splits.txt").write_text("")
    assert faults_of(folder) == [("splits.txt is empty", "error")]
    assert list_images(folder).rows == []


def test_a_list_that_is_a_link_to_nowhere_is_a_fault_and_no_missing_list(folder):
    (folder / "splits.txt").unlink()
    (folder / "splits.txt").symlink_to("nowhere")
    ((message, _),) = faults_of(folder)
    assert message.startswith("splits.txt")
    assert list_images(folder).rows == []


@pytest.mark.parametrize("images", [[], ["visible/a", "infrared/b"]])
def test_a_folder_without_an_image_of_an_identity_is_wrong(tmp_path, images):
    folder = make_folder(tmp_path, [*images, "visible/.hidden/a", "infrared/.hidden/a"])
    (folder / "splits.txt").unlink()
    message = "holds no image in a folder of an identity"
    wrong = [(what, kind) for what, kind in faults_of(folder) if kind == "error"]
    assert wrong == [(f"{one} {message}", "error") for one in MODALITIES]


def test_a_list_of_comments_is_wrong(folder):
    (folder / "splits.txt").write_text("# 7 train\n\n  # 10 test\n")
    assert ("splits.txt names no identity", "error") in faults_of(folder)


def test_without_a_list_everybody_is_listed_without_a_split(folder):
    with_list = {(row.name, row.identity, row.camera) for row in list_images(folder).rows}
    (folder / "splits.txt").unlink()
    assert faults_of(folder) == []
    listing = list_images(folder)
    assert {(row.name, row.identity, row.camera) for row in listing.rows} == with_list
    assert {row.split for row in listing.rows} == {""}


def test_identities_keep_their_folders_names(folder):
    make_folder(folder, ["visible/anna/1", "infrared/0042/1"], "anna test\n0042 train\n7 train\n")
    assert list_images(folder).names == {1: "0042", 2: "7", 3: "anna"}
    (folder / "splits.txt").write_text("0042 train\n7 train\n")
    assert list_images(folder).names == {42: "0042", 7: "7"}


def test_folders_that_the_list_does_not_name_are_left_out(folder):
    rows = columns_of(folder)
    make_folder(folder, ["visible/backup/a", "visible/backup/b", "infrared/8/a"])
    message = "splits.txt does not name 2 folders, 3 images, left out"
    assert faults_of(folder) == [(message, "warning")]
    assert columns_of(folder) == rows


def test_a_modality_and_an_identity_that_are_not_there_are_wrong(folder):
    shutil.rmtree(folder / "infrared")
    shutil.rmtree(folder / "visible/9")
    assert faults_of(folder) == [
        ("infrared is missing", "error"),
        ("splits.txt:4 names identity 9, who has no image in visible or infrared", "error"),
    ]


def test_all_faults_come_in_one_pass(folder):
    (folder / "visible/stray.bmp").touch()
    (folder / "visible/7/c0.png").touch()
    (folder / "visible/7/gone.png").symlink_to("nowhere")
    (folder / "splits.txt").write_bytes(b"\xef\xbb\xbf" + SPLITS.encode() + b"\r\n\n8 train\nx\n")
    assert faults_of(folder) == [
        ("visible/7/gone.png is a broken link or not a regular file", "missing"),
        (f"the folder holds 1 image {MISPLACED[7:]} (1 .bmp), left out", "warning"),
        ("splits.txt:1 begins with a byte order mark, which is ignored", "note"),
        ("splits.txt has line ends of another system, which are ignored", "note"),
        ("splits.txt:5 is blank, which is ignored", "note"),
        ("splits.txt:8 is 'x', not IDENTITY and one of train, validation, test", "error"),
        ("visible/7/c0.png names the cameras [0]", "error"),
        ("splits.txt:7 names identity 8, who has no image in visible or infrared", "error"),
    ]


@pytest.mark.fault("C1")
def test_every_form_of_image_is_listed_and_what_is_left_out_is_reported(folder):
    rows = columns_of(folder)
    for file in ("desktop.ini", "Thumbs.db", ".DS_Store", "notes.txt", "video.mp4"):
        (folder / "visible/7" / file).touch()
    suffixes = [".jpeg", ".png", ".bmp", ".JPG"]
    for path, suffix in zip(sorted(folder.rglob("[0-9]*.jpg")), suffixes, strict=True):
        path.rename(path.with_suffix(suffix))
    assert columns_of(folder) == rows
    assert faults_of(folder) == []
    for file in ("a.tif", "b.TIFF", "c.webp", "d.gif", "e.jfif", "._0001.jpg"):
        (folder / "visible/7" / file).touch()
    for inner in (".ipynb_checkpoints", "__MACOSX/visible", ".hidden"):
        (folder / "visible/7" / inner).mkdir(parents=True)
        (folder / "visible/7" / inner / "0001-checkpoint.png").touch()
    assert columns_of(folder) == rows
    unread = "1 .gif, 1 .jfif, 1 .tif, 1 .tiff, 1 .webp"
    assert {(message.split(", left")[0], kind) for message, kind in faults_of(folder)} == {
        (f"the folder holds 5 files of other formats ({unread})", "warning"),
        ("the folder holds 4 images in hidden files and folders (1 .jpg, 3 .png)", "warning"),
    }


@pytest.mark.fault("C1")
def test_two_images_of_one_name_are_two_images(folder):
    for name in ("0001.png", "0001.jpg.bmp", "0001.JPG"):
        (folder / "visible/7" / name).touch()
    names = {row.name for row in list_images(folder).rows if row.name.startswith("visible/7/")}
    assert names == {
        f"visible/7/{name}" for name in ("0001.jpg", "0001.png", "0001.jpg.bmp", "0001.JPG")
    }
    assert faults_of(folder) == []


@pytest.mark.fault("C1")
def test_a_name_in_two_forms_of_unicode_is_one_person(tmp_path):
    composed, decomposed = "B\u00e4r", "Ba\u0308r"
    images = [f"visible/{composed}/c1", f"infrared/{decomposed}/c2", f"visible/{decomposed}/c1"]
    folder = make_folder(tmp_path, [*images, "infrared/ann/c2"], f"{decomposed} train\nann test\n")
    assert faults_of(folder) == []
    people = {row.name: row.identity for row in list_images(folder).rows}
    assert {people[name] for name in images} == {1}
    (folder / "splits.txt").write_text(f"{decomposed} train\nann test\n{composed} test\n")
    ((message, kind),) = faults_of(folder)
    assert message.startswith("splits.txt:3 names identity") and kind == "error"


@pytest.mark.fault("C1")
def test_names_without_a_camera_or_with_one_are_reported(tmp_path):
    images = ["visible/1/a", "visible/2/b_c3", "infrared/1/c4_a", "infrared/2/c4_b"]
    folder = make_folder(tmp_path, images, "1 train\n2 test\n")
    visible, infrared = (message for message, _ in faults_of(folder, on_cameras=True))
    assert visible.startswith("visible has 1 of 2 images without a camera in their names")
    assert infrared == "infrared has 2 images, all of camera 4"
    (folder / "infrared/2/c5.png").touch()
    (folder / "visible/1/a.jpg").rename(folder / "visible/1/c1.jpg")
    assert faults_of(folder, on_cameras=True) == []


def test_loops_of_links_and_links_to_elsewhere_are_not_entered(folder, tmp_path):
    rows = columns_of(folder)
    make_folder(tmp_path / "elsewhere")
    for place in (folder, folder / "visible", folder / "visible/7"):
        (place / "loop").symlink_to(folder)
        (place / "itself").symlink_to("itself")
        (place / "away").symlink_to(tmp_path / "elsewhere")
    assert columns_of(folder) == rows
    assert faults_of(folder) == []


def test_beyond_a_link_only_the_layout_is_walked(folder, tmp_path, monkeypatch):
    make_folder(tmp_path / "elsewhere" / "deep", ["x/y/a"])
    (folder / "visible/all").symlink_to(tmp_path)
    seen, scandir = [], os.scandir
    monkeypatch.setattr("os.scandir", lambda path: seen.append(Path(path)) or scandir(path))
    assert faults_of(folder) == []
    assert folder / "visible/all" in seen
    assert not [path for path in seen if folder / "visible/all" in path.parents]


def test_a_link_to_the_dataset_and_links_within_its_layout_are_followed(folder, tmp_path):
    rows = columns_of(folder)
    (folder / "visible").rename(tmp_path / "disk")
    (folder / "visible").symlink_to(tmp_path / "disk")
    (folder / "infrared/7").rename(tmp_path / "seven")
    (folder / "infrared/7").symlink_to(tmp_path / "seven")
    (tmp_path / "link").symlink_to(folder)
    assert columns_of(tmp_path / "link") == rows
    assert faults_of(tmp_path / "link") == []


def test_misplaced_images_are_counted(folder):
    rows = columns_of(folder)
    for path in ("ein Bild ü.jpg", "a b/日本.PNG", "visible/x.bmp", "visible/7/deep/x.jpeg"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()
    (note,) = [fault for fault in list_images(folder).faults if "in places" in fault.what]
    assert str(note).startswith(f"the folder holds 4 {MISPLACED} (")
    assert str(note).endswith("first a b/日本.PNG, ein Bild ü.jpg, visible/7/deep/x.jpeg")
    assert note.kind == "warning"
    assert columns_of(folder) == rows


def test_a_dataset_one_folder_deeper_is_one_fault(folder):
    message = f"mine holds {len(IMAGES) - 1} images of this layout one folder deeper"
    assert faults_of(folder.parent)[0] == (message, "error")
    shutil.copytree(folder, folder / "mine")
    assert faults_of(folder) == [(message, "warning")]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("visible/7", "error"),
        ("visible/7/deep", "warning"),
        ("lost+found", "warning"),
        ("System Volume Information", "warning"),
    ],
)
def test_an_unreadable_folder_matters_only_in_the_layout(folder, monkeypatch, place, kind):
    (folder / place).mkdir(exist_ok=True)
    scandir = os.scandir

    def refuse(path):
        if Path(path) == folder / place:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert faults_of(folder) == [(f"{place} cannot be read (Permission denied)", kind)]


def test_odd_names_and_broken_links_beside_the_layout_are_left_out(folder):
    rows = columns_of(folder)
    (folder / "backup").mkdir()
    (folder / "backup/gone.jpg").symlink_to("nowhere")
    for name in (b"backup/\xe9.jpg", b"line\nend"):
        path = os.fsencode(folder) + b"/" + name
        Path(os.fsdecode(path)).touch() if name.endswith(b"jpg") else os.mkdir(path)
    assert columns_of(folder) == rows
    assert faults_of(folder) == [
        ("line?end has a name that is not plain UTF-8 text", "warning"),
        (f"the folder holds 2 {MISPLACED} (2 .jpg), left out", "warning"),
    ]


def test_a_name_that_is_no_text_is_a_fault_that_can_be_printed(folder):
    rows = columns_of(folder)
    for name in (b"\xe9.jpg", b"line\nend.jpg"):
        Path(os.fsdecode(os.fsencode(folder / "visible/7") + b"/" + name)).touch()
    message = "has a name that is not plain UTF-8 text"
    assert faults_of(folder) == [
        (f"visible/7/line?end.jpg {message}", "error"),
        (f"visible/7/?.jpg {message}", "error"),
    ]
    assert columns_of(folder) == rows


def test_a_pipe_in_an_images_place_does_not_hang(folder):
    os.mkfifo(folder / "visible/7/pipe.jpg")
    os.mkfifo(folder / "visible/pipe.txt")
    message = "visible/7/pipe.jpg is a broken link or not a regular file"
    assert faults_of(folder) == [(message, "missing")]


def test_a_very_long_path_is_walked(tmp_path):
    deep = Path(tmp_path, *["x" * 200] * 8)
    try:
        deep.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system has no such paths")
    folder = make_folder(deep / "mine")
    assert len(list_images(folder).rows) == len(IMAGES)
    assert faults_of(folder) == []
