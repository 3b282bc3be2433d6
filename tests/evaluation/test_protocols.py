import os

import numpy as np
import pytest
import scipy.io
from oracle import make_index, make_table

from jreid.data.table import Table
from jreid.errors import InputError
from jreid.evaluation import Protocol, fingerprint, problem
from jreid.evaluation.protocols import unmatched

PROTOCOL = Protocol("sysu_mm01")
COUNTS = {(camera, identity): 12 for camera in range(1, 7) for identity in (6, 10, 17)}
COUNTS |= {(2, 21): 11, (3, 21): 3}  # in one room only: no match for camera 3


def names(table, rows):
    return [str(name) for name in table.name[rows]]


def test_queries_are_all_infrared_images():
    table = make_table(COUNTS)
    drawn = problem(table, make_index(COUNTS), PROTOCOL)
    assert len(drawn.query_rows) == 2 * 3 * 12 + 3
    assert set(table.camera[drawn.query_rows]) == {3, 6}
    np.testing.assert_array_equal(drawn.query_identity, table.identity[drawn.query_rows])
    assert set(drawn.query_place) == {2, 6}


@pytest.mark.parametrize(("search", "cameras"), [("all", (1, 2, 4, 5)), ("indoor", (1, 2))])
@pytest.mark.parametrize("shots", [1, 10])
def test_gallery_is_the_head_of_each_permutation(search, cameras, shots):
    table, index = make_table(COUNTS), make_index(COUNTS)
    drawn = problem(table, index, PROTOCOL._replace(search=search, shots=shots))
    cells = [cell for cell in COUNTS if cell[0] in cameras]
    for trial in range(10):
        expected = [
            f"cam{camera}/{identity:04d}/{number:04d}"
            for camera, identity in cells
            for number in index[camera, identity][trial, :shots]
        ]
        assert sorted(names(table, drawn.gallery_rows[trial])) == sorted(expected)
        rows = drawn.gallery_rows[trial]
        np.testing.assert_array_equal(drawn.gallery_identity[trial], table.identity[rows])
        np.testing.assert_array_equal(drawn.gallery_place[trial], table.camera[rows])


def test_fewer_images_than_shots_are_all_drawn():
    counts = {(1, 6): 4, (6, 6): 2}
    drawn = problem(make_table(counts), make_index(counts), PROTOCOL._replace(shots=10))
    assert drawn.gallery_rows.shape == (10, 4)


def test_a_split_draws_its_own_identities_only():
    validation = {(4, 334): 3, (3, 334): 2}
    parts = zip(make_table(COUNTS), make_table(validation, "validation"), strict=True)
    table = Table(*(np.concatenate(columns) for columns in parts))
    index = make_index(COUNTS | validation)
    drawn = problem(table, index, PROTOCOL._replace(split="validation"))
    assert set(drawn.query_identity) == {334}
    assert set(drawn.gallery_identity.ravel()) == {334}
    assert 334 not in problem(table, index, PROTOCOL).gallery_identity


def test_unmatched_queries_are_counted_by_reason():
    counts = COUNTS | {(6, 24): 5}
    drawn = problem(make_table(counts), make_index(counts), PROTOCOL)
    assert unmatched(drawn, trial=0) == (5, 3)  # 24 is in no gallery, 21 in camera 2's only


def test_an_image_that_the_folder_lacks_is_named():
    smaller = COUNTS | {(4, 10): 10, (5, 6): 0}
    with pytest.raises(InputError, match=r"names cam4/0010/0011,.*\(14 such in all\): the folder"):
        problem(make_table(smaller), make_index(COUNTS), PROTOCOL)


def test_an_identity_that_the_index_lacks_is_named():
    index = make_index(COUNTS)
    del index[4, 17]
    with pytest.raises(InputError, match="no entry for cam4/0017"):
        problem(make_table(COUNTS), index, PROTOCOL)
    index[4, 17] = np.zeros((10, 0), int)
    with pytest.raises(InputError, match="no entry for cam4/0017"):
        problem(make_table(COUNTS), index, PROTOCOL)


def test_fewer_trials_than_asked():
    index = make_index(COUNTS, trials=3)
    table = make_table(COUNTS)
    assert len(problem(table, index, PROTOCOL._replace(trials=3)).gallery_rows) == 3
    with pytest.raises(InputError, match=r"holds 3 trials .* asks for 10"):
        problem(table, index, PROTOCOL)


@pytest.mark.parametrize(
    ("counts", "search", "message"),
    [
        ({(1, 6): 2, (4, 6): 2}, "all", "no infrared images"),
        ({(3, 6): 2, (4, 6): 2}, "indoor", "gallery is empty"),
        (
            {(3, 6): 2, (2, 6): 2, (6, 9): 4, (1, 8): 1},
            "all",
            r"None of the 6 queries .* \(4 show an identity that is not in it, 2 one that is",
        ),
    ],
)
def test_nothing_to_evaluate(counts, search, message):
    with pytest.raises(InputError, match=message):
        problem(make_table(counts), make_index(counts), PROTOCOL._replace(search=search))


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "market"), ("split", "train"), ("search", "outdoor"), ("shots", 2), ("trials", 0)],
)
def test_unknown_fields_are_refused(field, value):
    with pytest.raises(InputError, match=str(value)):
        problem(make_table(COUNTS), make_index(COUNTS), PROTOCOL._replace(**{field: value}))


def test_fingerprints_tell_rules_and_tables_apart():
    others = {
        "name": "regdb",
        "split": "validation",
        "search": "indoor",
        "shots": 10,
        "draw": "agw",
        "trials": 1,
        "cmc": "image",
        "distance": "euclidean",
    }
    assert set(others) == set(Protocol._fields)
    prints = [fingerprint(PROTOCOL._replace(**{key: others[key]}), "a") for key in others]
    prints += [fingerprint(PROTOCOL, "a"), fingerprint(PROTOCOL, "b")]
    assert len(set(prints)) == len(others) + 2
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in prints)
    assert fingerprint(PROTOCOL, "a") == fingerprint(Protocol("sysu_mm01"), "a")


TEST_IDENTITIES = [
    *(6, 10, 17, 21, 24, 25, 27, 28, 31, 34, 36, 37, *range(40, 46), 49, 50, 51, 54, 63, 69, 75),
    *(*range(80, 91), 93, 102, 104, 105, 106, 108, 112, 116, 117, 122, 125, 129, 130, 134, 138),
    *(139, 150, 152, 162, 166, 167, 170, 172, 176, 185, 190, 192, 202, 204, 207, 210, 215, 223),
    *(229, 232, 237, 252, 253, 257, 259, 263, 266, 269, 272, 273, 274, 275, 282, 285, 291, 300),
    *(301, 302, 303, 307, 312, 315, 318, 331, 333),
]


@pytest.fixture(scope="module")
def official_index():
    if "JREID_RAND_PERM_CAM" not in os.environ:
        pytest.skip("JREID_RAND_PERM_CAM does not name SYSU-MM01's rand_perm_cam.mat")
    cameras = scipy.io.loadmat(os.environ["JREID_RAND_PERM_CAM"])["rand_perm_cam"].ravel()
    return {
        (camera, identity): cell.astype(np.int64)
        for camera, cells in enumerate(cameras, start=1)
        for identity, cell in enumerate(cells.ravel(), start=1)
    }


@pytest.mark.parametrize(
    ("search", "shots", "gallery", "from_camera_3", "valid"),
    [
        ("all", 1, 301, 245, 3803),
        ("all", 10, 3010, 2450, 3803),
        ("indoor", 1, 112, 56, 2208),
        ("indoor", 10, 1120, 560, 2208),
    ],
)
def test_official_index_gives_the_known_counts(
    official_index, search, shots, gallery, from_camera_3, valid
):
    counts = {
        cell: order.shape[1] for cell, order in official_index.items() if cell[1] in TEST_IDENTITIES
    }
    table = make_table(counts)
    assert len(np.unique(table.identity)) == 96
    drawn = problem(table, official_index, PROTOCOL._replace(search=search, shots=shots))
    assert len(drawn.query_rows) == 3803
    assert drawn.gallery_rows.shape == (10, gallery)
    for trial in range(10):
        assert len(set(drawn.gallery_rows[trial])) == gallery
        assert (drawn.gallery_place[trial] != 2).sum() == from_camera_3
        assert 3803 - sum(unmatched(drawn, trial)) == valid
    places = {
        camera: set(drawn.query_place[table.camera[drawn.query_rows] == camera])
        for camera in (3, 6)
    }
    assert places == {3: {2}, 6: {6}}
