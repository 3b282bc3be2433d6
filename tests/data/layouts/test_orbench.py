"""ORBench's folder: what its lists and names say, and everything that may be wrong with them."""

import itertools
import json
import os
import shutil
from collections import Counter

import pytest

from jreid.data.layouts.orbench import list_images

PEOPLE = {"0001": "llcm", "0002": "llcm", "0605": "sysu", "0606": "sysu"}
TRAIN = {"0002": 1, "0605": 2}  # other numbers than the folders'
TEST = {"0001": 602, "0606": 601}


def name(person, word, number):
    origin = f"llcm_0009_c0{number}_s1_f" if PEOPLE[person] == "llcm" else f"sysu_0117_cam{number}_"
    return f"{word}/{person}/{person}_{origin}{number}_{word}.jpg"


VISIBLE = {person: [name(person, "vis", n) for n in (1, 2, 3)] for person in PEOPLE}
INFRARED = {person: [name(person, "nir", n) for n in (3, 6)] for person in PEOPLE}


@pytest.fixture
def folder(tmp_path):
    extra = [f"{word}/{one}/{one}_sysu_0117_front_1_x.jpg" for word in ("cp", "sk") for one in TEST]
    for path in [*itertools.chain(*VISIBLE.values(), *INFRARED.values()), *extra]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    train = [
        {"id": number, "file_path": path, "caption": "see a.jpg", "split": "train"}
        for person, number in TRAIN.items()
        for path in VISIBLE[person]
    ]
    queries = [[number, path] for one, number in TEST.items() for path in INFRARED[one]]
    test = {
        "RGB_GALLERY": [[number, path] for one, number in TEST.items() for path in VISIBLE[one]],
        "NIR": queries,
        "TEXT": [[number, "see a.jpg"] for number, _ in queries],
        "NIR+TEXT": [[*pair, "see a.jpg"] for pair in queries],
    }
    (tmp_path / "train_annos.json").write_text(json.dumps(train))
    (tmp_path / "test_gallery_and_queries.json").write_text(json.dumps(test))
    return tmp_path


def edit(folder, file, change):
    path = folder / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_train(folder, change):
    edit(folder, "train_annos.json", change)


def edit_test(folder, change):
    edit(folder, "test_gallery_and_queries.json", change)


def faults(folder, kinds=("error", "missing")):
    return [(f.place, f.what, f.kind) for f in list_images(folder).faults if f.kind in kinds]


def test_rows_carry_what_names_and_lists_say(folder):
    listing = list_images(folder)
    assert not faults(folder)
    groups = Counter((row.identity, row.split, row.modality) for row in listing.rows)
    train, test = ((2, 605), (1, 606))
    assert groups == {
        (identity, split, modality): number
        for identities, split in ((train, "train"), (test, "test"))
        for identity in identities
        for modality, number in (("visible", 3), ("infrared", 2))
    }
    cameras = {(row.identity > 600, row.modality): set() for row in listing.rows}
    for row in listing.rows:
        cameras[row.identity > 600, row.modality].add(row.camera)
    assert cameras[False, "infrared"] == {3, 6} and cameras[True, "infrared"] == {13, 16}
    assert [row.name for row in listing.rows] == sorted(row.name for row in listing.rows)


def test_what_is_left_out_and_where_people_come_from_is_said(folder):
    warnings = "\n".join(what for _, what, _ in faults(folder, ("warning",)))
    ((_, note, _),) = faults(folder, ("note",))
    assert "2 of LLCM and 2 of SYSU-MM01" in note
    assert "4 images in places that this layout does not have" in warnings  # cp and sk
    assert "45,113" in warnings and "second-hand" not in warnings


def test_images_that_no_list_names_are_left_out(folder):
    shutil.copy(folder / VISIBLE["0001"][0], folder / "vis/0001/0001_llcm_0009_c04_s1_f4_vis.jpg")
    assert not faults(folder) and len(list_images(folder).rows) == 20
    warnings = "\n".join(what for _, what, _ in faults(folder, ("warning",)))
    assert "1 image that no list names" in warnings


def test_an_image_listed_twice_counts_once(folder):
    edit_test(folder, lambda test: test["NIR"].append(test["NIR"][0]))
    assert not faults(folder) and len(list_images(folder).rows) == 20
    assert any("NIR:5" in place for place, _, _ in faults(folder, ("note",)))


def test_a_list_that_does_not_fit_the_memory_is_a_fault(folder):
    os.truncate(folder / "train_annos.json", 200 * 10**9)
    assert any("larger than 200,000,000 bytes" in what for _, what, _ in faults(folder))


@pytest.mark.parametrize(
    ("change", "place", "message", "kind"),
    [
        (lambda f: edit_train(f, lambda t: t[0].update(id=2)), "train_annos.json", "2", "error"),
        (lambda f: edit_train(f, lambda t: t[1].update(id=7)), "json:2", "earlier 1", "error"),
        (lambda f: edit_train(f, lambda t: t[0].update(id="1")), "json:1", "number", "error"),
        (lambda f: edit_train(f, lambda t: t.append(3)), "json:7", "number", "error"),
        (
            lambda f: edit_train(f, lambda t: t[0].update(file_path="/etc/a.jpg")),
            "train_annos.json:1",
            "path of an image in vis",
            "error",
        ),
        (
            lambda f: edit_test(f, lambda t: t["NIR"].append([1, VISIBLE["0001"][0]])),
            "NIR:5",
            "image in nir",
            "error",
        ),
        (
            lambda f: edit_test(f, lambda t: t["NIR"].append([601, INFRARED["0001"][0]])),
            "NIR:5",
            "601",
            "error",
        ),
        (
            lambda f: edit_test(f, lambda t: t["RGB_GALLERY"].append([9, VISIBLE["0002"][0]])),
            "RGB_GALLERY:7",
            "train split too",
            "error",
        ),
        (lambda f: edit_test(f, lambda t: t.pop("RGB_GALLERY")), "test_", "RGB_GALLERY", "error"),
        (lambda f: (f / INFRARED["0606"][0]).unlink(), "NIR:3", "missing image", "missing"),
        (lambda f: shutil.rmtree(f / "nir/0605"), "train_annos.json:4", "nir/0605", "missing"),
        (lambda f: (f / "train_annos.json").unlink(), "train_annos.json", "missing", "missing"),
        (lambda f: (f / "train_annos.json").write_text("[{"), "train_", "cannot be read", "error"),
        (lambda f: (f / "train_annos.json").write_text("{}"), "train_", "cannot be read", "error"),
    ],
)
def test_what_is_wrong_is_named(folder, change, place, message, kind):
    change(folder)
    found = faults(folder)
    assert any(place in one[0] and message in one[1] and one[2] == kind for one in found), found


def test_a_name_of_another_folder_is_wrong(folder):
    bad = folder / "nir/0605/0606_sysu_0117_cam3_9_nir.jpg"
    shutil.copy(folder / INFRARED["0605"][0], bad)
    ((place, what, _),) = faults(folder)
    assert "0606_sysu_0117_cam3_9" in place and "origin and camera" in what


def test_the_release_of_the_competition_is_named(folder):
    (folder / "test_gallery_and_queries.json").unlink()
    (folder / "train").mkdir()
    (folder / "train/text_annos.json").write_text("[]")
    assert any("competition" in what for _, what, _ in faults(folder))
