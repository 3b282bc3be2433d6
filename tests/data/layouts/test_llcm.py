import shutil
from pathlib import Path

import pytest

from jreid.data.layouts.layout import Count, Group
from jreid.data.layouts.llcm import COUNTS, list_images

TRAIN = {1: (1, 3), 4: (2,)}  # cameras by identity
TEST = {3: (1, 9), 20: (3, 5)}


def file_name(identity: int, camera: int, word: str, image: int) -> str:
    return f"{identity:04d}_c{camera:02d}_s185734_f{image:04d}_{word}"


def train_names(word: str) -> list[str]:
    return [
        f"{word}/{identity:04d}/{file_name(identity, camera, word, image)}"
        for identity, cameras in TRAIN.items()
        for camera in cameras
        for image in (1, 2)
    ]


def names_in_test(word: str, short: bool = False) -> list[str]:
    return [
        (f"{word}" if short else f"test_{word}/cam{camera}")
        + f"/{identity:04d}/{file_name(identity, camera, word, image)}"
        for identity, cameras in TEST.items()
        for camera in cameras
        if (word, camera) != ("nir", 3)
        for image in (1, 2)
    ]


NAMES = sorted(
    name for word in ("vis", "nir") for name in (*train_names(word), *names_in_test(word))
)
TRAIN_VIS, TEST_NIR = "idx/train_vis.txt", "idx/test_nir.txt"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Empty images in a place whose path has `cam` in it; infrared camera 3 has no test images."""
    root = tmp_path / "camera cam7" / "LLCM 数据"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.jpg").touch()
    (root / "idx").mkdir()
    (root / "idx/test_id.txt").write_text("3,20\n")
    for word in ("vis", "nir"):
        labels = {identity: label for label, identity in enumerate(TRAIN)}
        write_list(root / f"idx/train_{word}.txt", train_names(word), labels)
        write_list(root / f"idx/test_{word}.txt", names_in_test(word), {3: 3, 20: 20})
    return root


def write_list(path: Path, names: list[str], labels: dict[int, int]) -> None:
    lines = [f"{name}.jpg {labels[int(name.split('/')[-2])]}\n" for name in names]
    path.write_text("".join(lines))


def faults_of(folder: Path) -> list[tuple[str, str]]:
    """The faults without their remedies, and their kinds."""
    faults = list_images(folder).faults
    assert all("\n" not in str(fault) for fault in faults)
    assert all(";" in fault.what for fault in faults if not fault.harmless)
    return [(str(fault).split(";")[0], fault.kind) for fault in faults]


def append(folder: Path, file: str, text: str) -> None:
    with (folder / file).open("a") as stream:
        stream.write(text)


def test_rows_carry_what_paths_and_lists_say(folder):
    listing = list_images(folder)
    assert listing.faults == []
    assert listing.gallery_index == {}
    assert [row.name for row in listing.rows] == NAMES
    for row in listing.rows:
        assert row.path == folder / f"{row.name}.jpg"
        *_, identity, stem = row.name.split("/")
        assert row.identity == int(identity)
        assert f"_c{row.camera:02d}_" in stem
        assert row.modality == {"vis": "visible", "nir": "infrared"}[stem[-3:]]
        assert row.split == ("train" if row.identity in TRAIN else "test")
    assert {row.camera for row in listing.rows} == {1, 2, 3, 5, 9}


def test_test_lists_may_name_images_in_the_short_form(folder):
    rows = list_images(folder).rows
    for word in ("vis", "nir"):
        names = names_in_test(word, short=True)
        write_list(folder / f"idx/test_{word}.txt", names, {3: 0, 20: 1})
    listing = list_images(folder)
    assert (listing.rows, listing.faults) == (rows, [])


def test_both_forms_of_one_image_are_a_double(folder):
    short = names_in_test("nir", short=True)[0]
    append(folder, TEST_NIR, f"{short}.jpg 3\n")
    message = f"{TEST_NIR}:7 names {short} again, after {TEST_NIR}:1"
    assert faults_of(folder) == [(message, "error")]


def test_test_images_that_are_in_the_short_place_only_are_found_there(folder):
    names = names_in_test("nir", short=True)
    for long, short in zip(names_in_test("nir"), names, strict=True):
        (folder / short).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{long}.jpg").rename(folder / f"{short}.jpg")
    write_list(folder / TEST_NIR, names, {3: 3, 20: 20})
    listing = list_images(folder)
    assert listing.faults == []
    tests = [row for row in listing.rows if row.split == "test" and row.modality == "infrared"]
    assert [row.name for row in tests] == sorted(names)
    assert [row.camera for row in tests] == [1, 1, 9, 9, 5, 5]


def test_copies_of_test_images_beside_the_training_images_are_left_out(folder):
    rows = list_images(folder).rows
    for short in names_in_test("vis", short=True):
        (folder / short).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{short}.jpg").touch()
    listing = list_images(folder)
    assert listing.rows == rows
    message = "vis holds 8 images that no list names, first vis/0003/0003_c01_s185734_f0001_vis.jpg"
    assert faults_of(folder) == [(message, "warning")]


def test_counts_are_the_published_totals(folder):
    assert sum(count.images for count in COUNTS.values()) == 46_767
    assert COUNTS[Group("train", "infrared", 0)] == Count(713, 13_975)


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        (TRAIN_VIS, "vis/0001/a.jpg", "has 1 column"),
        (TRAIN_VIS, "/vis/0001/a.jpg 0", "names '/vis/0001/a.jpg', which is outside"),
        (TRAIN_VIS, "../0001/a.jpg 0", "names '../0001/a.jpg', which is outside"),
        (TRAIN_VIS, "nir/0001/a.jpg 0", "names 'nir/0001/a.jpg', which does not belong"),
        (TRAIN_VIS, "vis/-001/a.jpg 0", "names 'vis/-001/a.jpg', which does not belong"),
        (TRAIN_VIS, f"{train_names('vis')[0]}.jpg 0", f"names {train_names('vis')[0]} again"),
        (TRAIN_VIS, "vis/0001/a.jpg x", "has the label 'x', which is not a whole number"),
        (TRAIN_VIS, "vis/0001/a.jpg 1", "gives identity 1 the label 1, but earlier 0"),
        (TRAIN_VIS, "vis/0002/a.jpg 1", "gives identity 2 the label 1, which identity 4 has"),
        (TRAIN_VIS, "vis/0002/a.jpg 9", "has the label 9, but those of 3 identities are 0 to 2"),
        (
            TEST_NIR,
            "test_vis/cam1/0003/a.jpg 3",
            "names 'test_vis/cam1/0003/a.jpg', which does not",
        ),
    ],
)
def test_a_wrong_line_is_reported_with_its_number(folder, file, line, message):
    append(folder, file, f"{line}\n")
    number = len((folder / file).read_text().splitlines())
    first = faults_of(folder)[0]
    assert first[0].startswith(f"{file}:{number} {message}")
    assert first[1] == "error"


def test_identities_absent_from_the_folder_are_missing_at_their_line(folder):
    append(folder, TRAIN_VIS, "vis/0777/0777_c01_s1_f1_vis.jpg 2\n")
    message = f"{TRAIN_VIS}:7 names vis/0777, a missing folder, with 1 of its images"
    assert faults_of(folder) == [(message, "missing")]


def test_an_identity_in_training_and_test_is_wrong(folder):
    append(folder, TEST_NIR, f"{train_names('nir')[0]}.jpg 1\n")
    assert faults_of(folder) == [
        (f"{TEST_NIR}:7 names identity 1, which is in the train split too", "error"),
        (f"{TEST_NIR}:7 names identity 1, which idx/test_id.txt does not have", "error"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "3,20,21",
            "idx/test_id.txt:1 names identity 21, which the lists of test images do not have",
        ),
        ("3", "idx/test_vis.txt:5 names identity 20, which idx/test_id.txt does not have"),
        ("3,20,3", "idx/test_id.txt:1 names identity 3 twice"),
        ("3,20,-1", "idx/test_id.txt:1 names '-1', which is not an identity"),
        ("", "idx/test_id.txt is empty"),
    ],
)
def test_the_list_of_test_identities_is_compared(folder, text, message):
    (folder / "idx/test_id.txt").write_text(text)
    assert faults_of(folder) == [(message, "error")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0003_c02_s1_f1_nir", "has a name of camera 2 in a folder of cam1"),
        ("0004_c01_s1_f1_nir", "has a name of identity 4 in a folder of identity 3"),
        ("0003_c01_s1_f1_vis", "has a name that ends in vis in a folder of nir"),
        ("0003_c00_s1_f1_nir", "has a name without identity and camera, such as 0001_c01_"),
        ("person", "has a name without identity and camera, such as 0001_c01_"),
    ],
)
def test_a_name_that_contradicts_its_folder_is_wrong(folder, name, message):
    path = f"test_nir/cam1/0003/{name}.jpg"
    (folder / path).touch()
    append(folder, TEST_NIR, f"{path} 3\n")
    assert faults_of(folder) == [(f"{path} {message}", "error")]


def test_a_test_image_in_no_list_is_wrong(folder):
    (folder / "test_vis/cam1/0003/0003_c01_s1_f1_vis.jpg").touch()
    message = "test_vis/cam1/0003/0003_c01_s1_f1_vis.jpg is in no list"
    assert faults_of(folder) == [(message, "error")]


def test_a_half_unpacked_folder_is_reported_by_its_outermost_parts(folder):
    shutil.rmtree(folder / "nir")
    shutil.rmtree(folder / "test_vis/cam9")
    shutil.rmtree(folder / "test_vis/cam1/0003")
    gone = train_names("vis")[0]
    (folder / f"{gone}.jpg").unlink()
    assert faults_of(folder) == [
        (f"{TRAIN_VIS}:1 names {gone}, a missing image", "missing"),
        ("idx/train_nir.txt:1 names nir, a missing folder, with 6 of its images", "missing"),
        (
            "idx/test_vis.txt:1 names test_vis/cam1/0003, a missing folder, with 2 of its images",
            "missing",
        ),
        (
            "idx/test_vis.txt:3 names test_vis/cam9, a missing folder, with 2 of its images",
            "missing",
        ),
    ]
    assert len(list_images(folder).rows) == len(NAMES) - 11


def test_all_faults_come_in_one_pass(folder):
    (folder / "idx/train_nir.txt").unlink()
    (folder / "test_vis/0003").mkdir()
    (folder / "test_vis/0003/stray.jpg").touch()
    (folder / f"{train_names('vis')[1]}.PNG").touch()
    append(folder, TRAIN_VIS, "nothing\n")
    (folder / "idx/test_id.txt").write_text("3,20,x")
    assert [message for message, _ in faults_of(folder)] == [
        f"{train_names('vis')[1]}.jpg has the name of {train_names('vis')[1]}.PNG",
        "the folder holds 1 image in places that this layout does not have (1 .jpg), left out",
        f"{TRAIN_VIS}:7 has 1 column, not PATH LABEL",
        "idx/train_nir.txt is missing",
        "idx/test_id.txt:1 names 'x', which is not an identity",
    ]


def test_line_ends_and_a_byte_order_mark_and_blank_lines_are_only_odd(folder):
    rows = list_images(folder).rows
    for file in (TRAIN_VIS, "idx/test_id.txt"):
        text = (folder / file).read_text().replace("\n", "\r\n\r\n", 1)
        (folder / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    listing = list_images(folder)
    assert listing.rows == rows
    assert [fault.kind for fault in listing.faults] == ["note"] * 5


def test_capital_suffixes_change_nothing(folder):
    rows = [row[:-1] for row in list_images(folder).rows]
    for path in sorted(folder.rglob("*_nir.jpg")):
        path.rename(path.with_suffix(".JPG"))
    listing = list_images(folder)
    assert listing.faults == []
    assert [row[:-1] for row in listing.rows] == rows
    assert all(row.path.exists() for row in listing.rows)
