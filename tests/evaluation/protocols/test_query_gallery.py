import os
import time

import numpy as np
import pytest
import scipy.io
from helpers import oracle
from helpers.oracle import make_index, make_llcm_table, make_table
from hypothesis import given, settings
from hypothesis import strategies as st

from jreid.data.table import Table
from jreid.errors import InputError
from jreid.evaluation.protocols.folder import folder
from jreid.evaluation.protocols.llcm import llcm, llcm_all, llcm_released_vis_to_ir
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.protocols.query_gallery import (
    fingerprint,
    most_unmatched,
    query_gallery,
    unmatched,
)
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import SYSU_MM01_SEARCHES, sysu_mm01
from jreid.evaluation.ranking.trials import rank_trials

COUNTS = {(camera, identity): 12 for camera in range(1, 7) for identity in (6, 10, 17)}
COUNTS |= {(2, 21): 11, (3, 21): 3}  # in one room only: no match for camera 3
DIRECTIONS = {
    "infrared_to_visible": ("infrared", "visible"),
    "visible_to_infrared": ("visible", "infrared"),
}


def assert_equals_oracle(features, table, index, protocol, expected):
    """Ranks and numbers of matches of every query in every trial, or the same refusal."""
    if not all(any(row[3] for row in trial.values()) for trial in expected):
        with pytest.raises(InputError, match="None of the"):
            query_gallery(table, index, protocol)
        return
    drawn = query_gallery(table, index, protocol)
    rankings = rank_trials(
        features, table.identity, *drawn, cmc=protocol.cmc, distance=protocol.distance, block=16
    )
    assert len(rankings) == len(expected) == protocol.trials
    for trial, (ranking, of_query) in enumerate(zip(rankings, expected, strict=True)):
        assert sorted(of_query) == sorted(drawn.query_rows[trial].tolist())
        rows = [of_query[row] for row in drawn.query_rows[trial].tolist()]
        assert ranking.rank.tolist() == [row[0] for row in rows]
        assert ranking.matches.tolist() == [row[3] for row in rows]
        np.testing.assert_allclose(ranking.average_precision, [row[1] for row in rows], rtol=1e-9)
        assert sum(unmatched(drawn, table, trial)) == sum(row[3] == 0 for row in rows)


def features_of(table, seed):
    """Small whole numbers: many ties, and distances that are exact."""
    size = (len(table.name), 2)
    return np.random.default_rng(seed).integers(-2, 3, size).astype(np.float32)


def counts_of(cells):
    """Up to four images of each cell, with at least one in both modalities."""
    return st.lists(st.integers(-2, 4), min_size=len(cells), max_size=len(cells)).map(
        lambda images: {cell: n for cell, n in zip(cells, images, strict=True) if n > 0}
    )


SYSU_CELLS = [(camera, identity) for camera in range(1, 7) for identity in (6, 10, 17)]
LLCM_CELLS = [
    (modality, camera, identity)
    for modality, cameras in (("visible", (1, 2, 3)), ("infrared", (1, 2, 4)))
    for camera in cameras
    for identity in (3, 12, 711)
]


def has_both(table):
    return {*table.modality.tolist()} == {"visible", "infrared"}


@settings(max_examples=40, deadline=None)
@given(counts_of(SYSU_CELLS), st.sampled_from(["all", "indoor"]), st.sampled_from([1, 10]))
def test_sysu_mm01_equals_the_oracle(counts, search, shots):
    counts = counts | {(1, 6): 2, (6, 6): 1}
    table, index = make_table(counts), make_index(counts, trials=3)
    features = features_of(table, len(counts))
    protocol = sysu_mm01(search=search, shots=shots, trials=3, distance="euclidean")
    expected = oracle.sysu_mm01(
        features, table, index, SYSU_MM01_SEARCHES[search], shots, 3, "euclidean"
    )
    assert_equals_oracle(features, table, index, protocol, expected)


@settings(max_examples=40, deadline=None)
@given(counts_of(LLCM_CELLS), st.sampled_from([*DIRECTIONS]))
def test_llcm_equals_the_oracle(counts, direction):
    counts = counts | {("visible", 2, 3): 1, ("infrared", 1, 3): 2}
    table = make_llcm_table(counts)
    features = features_of(table, len(counts))
    protocol = llcm(direction=direction, trials=2, distance="euclidean")
    expected = oracle.llcm(features, table, *DIRECTIONS[direction], 2, "euclidean")
    assert_equals_oracle(features, table, {}, protocol, expected)


@settings(max_examples=40, deadline=None)
@given(counts_of(LLCM_CELLS))
def test_llcms_released_rule_equals_the_oracle(counts):
    counts = counts | {("visible", 2, 3): 1, ("infrared", 1, 3): 2}
    table = make_llcm_table(counts)
    features = features_of(table, len(counts))
    expected = oracle.llcm_released_vis_to_ir(features, table, 2, "euclidean")
    protocol = llcm_released_vis_to_ir(trials=2, distance="euclidean")
    assert_equals_oracle(features, table, {}, protocol, expected)


@settings(max_examples=40, deadline=None)
@given(
    counts_of(LLCM_CELLS),
    st.sampled_from([*DIRECTIONS]),
    st.sampled_from(["regdb", "llcm_all", "folder"]),
    st.sampled_from(["identity", "image"]),
)
def test_all_against_all_equals_the_oracle(counts, direction, name, cmc):
    counts = counts | {("visible", 2, 3): 1, ("infrared", 1, 3): 2}
    table = make_llcm_table(counts)
    features = features_of(table, len(counts))
    protocol = {
        "regdb": regdb(split_number=3, direction=direction, cmc=cmc, distance="euclidean"),
        "llcm_all": llcm_all(direction=direction, cmc=cmc),
        "folder": folder(direction=direction, cmc=cmc, distance="euclidean"),
    }[name]
    skips = {"skips": oracle.same_identity_and_camera(table)} if name == "folder" else {}
    sides = DIRECTIONS[direction]
    expected = oracle.all_against_all(features, table, *sides, cmc, "euclidean", **skips)
    assert_equals_oracle(features, table, {}, protocol, expected)


def test_queries_are_all_infrared_images():
    table = make_table(COUNTS)
    drawn = query_gallery(table, make_index(COUNTS), sysu_mm01())
    assert drawn.query_rows.shape == (10, 2 * 3 * 12 + 3)
    assert set(table.camera[drawn.query_rows[0]]) == {3, 6}
    assert (drawn.query_rows == drawn.query_rows[0]).all()
    place = dict(zip(table.camera.tolist(), drawn.query_group.tolist(), strict=True))
    assert place == {1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 6}


def test_a_split_draws_its_own_identities_only():
    validation = {(4, 334): 3, (3, 334): 2}
    parts = zip(make_table(COUNTS), make_table(validation, "validation"), strict=True)
    table = Table(*(np.concatenate(columns) for columns in parts))
    index = make_index(COUNTS | validation)
    drawn = query_gallery(table, index, sysu_mm01("validation"))
    assert set(table.identity[drawn.query_rows].ravel()) == {334}
    assert set(table.identity[drawn.gallery_rows].ravel()) == {334}
    assert 334 not in table.identity[query_gallery(table, index, sysu_mm01()).gallery_rows]


def test_unmatched_queries_are_counted_by_reason():
    counts = COUNTS | {(6, 24): 5}
    table = make_table(counts)
    drawn = query_gallery(table, make_index(counts), sysu_mm01())
    assert unmatched(drawn, table, trial=0) == (5, 3)  # 24 is in no gallery, 21 in camera 2's only
    assert most_unmatched(drawn, table) == (5, 3)


@pytest.mark.parametrize(
    ("counts", "search", "message"),
    [
        ({(1, 6): 2, (4, 6): 2}, "all", "no infrared images of the cameras 3, 6, so there are no"),
        ({(3, 6): 2, (4, 6): 2}, "indoor", "cameras 1, 2, so the gallery is empty"),
        (
            {(3, 6): 2, (2, 6): 2, (6, 9): 4, (1, 8): 1},
            "all",
            r"None of the 6 queries .* \(the identity of 4 is not in it, that of 2 is only",
        ),
    ],
)
def test_nothing_to_evaluate(counts, search, message):
    with pytest.raises(InputError, match=message):
        query_gallery(make_table(counts), make_index(counts), sysu_mm01(search=search))


def test_a_folder_whose_cameras_all_have_one_number():
    table = make_llcm_table({("visible", 1, 3): 4, ("infrared", 1, 3): 2})
    with pytest.raises(InputError, match=r"None of the 2 .* that of 2 is .* the camera numbers"):
        query_gallery(table, {}, folder())


def test_an_unknown_way_to_skip():
    with pytest.raises(ValueError, match="ignore='all'"):
        query_gallery(make_table(COUNTS), {}, folder()._replace(ignore="all"))


def print_of(table, protocol=None, rerank="none", index=None):
    protocol = protocol or sysu_mm01()
    index = make_index(COUNTS) if index is None else index
    return fingerprint(protocol, table, query_gallery(table, index, protocol), rerank)


def test_fingerprints_tell_every_field_apart():
    table, protocol = make_table(COUNTS), sysu_mm01()
    drawn = query_gallery(table, make_index(COUNTS), protocol)
    others = {
        "name": "mine",
        "split": "validation",
        "search": "indoor",
        "shots": 10,
        "sampling": "seeded",
        "sampled": "query",
        "direction": "visible_to_infrared",
        "query_cameras": (3,),
        "gallery_cameras": (1,),
        "ignore": "nothing",
        "location_of_camera": (),
        "trials": 1,
        "split_number": 1,
        "cmc": "image",
        "distance": "euclidean",
        "dataset": "llcm",
        "share": 0.0,
        "images": 4,
        "queries": "own",
        "experiment": "uav_ir_uav_rgb",
    }
    assert set(others) == set(Protocol._fields)
    changed = [protocol._replace(**{field: value}) for field, value in others.items()]
    prints = [fingerprint(rule, table, drawn) for rule in (protocol, *changed)]
    prints.append(fingerprint(protocol, table, drawn, "standard(k1=20,k2=6,lambda=0.3)"))
    assert len(set(prints)) == len(others) + 2
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in prints)


@pytest.mark.parametrize("rule", [sysu_mm01(), sysu_mm01(sampling="seeded"), folder(), llcm_all()])
def test_the_order_of_rows_does_not_count(rule):
    table = make_table(COUNTS)
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(len(table.name))
        assert print_of(table.take(rows), rule) == print_of(table, rule)


@pytest.mark.parametrize("rule", [sysu_mm01(), folder(), llcm_all()])
def test_rows_of_other_splits_and_bytes_do_not_count(rule):
    table = make_table(COUNTS)
    train = make_table({(camera, 1): 2 for camera in range(1, 7)}, "train")
    joined = Table(*(np.concatenate(columns) for columns in zip(train, table, strict=True)))
    assert print_of(joined, rule) == print_of(table, rule)
    images = np.array([b"jpeg"] * len(table.name), object)
    assert print_of(table._replace(image=images), rule) == print_of(table, rule)


def test_labels_and_draws_count():
    table = make_table(COUNTS)
    prints = {print_of(table), print_of(table, index=make_index(COUNTS, seed=1))}
    one = np.arange(len(table.name)) == np.flatnonzero(table.camera == 6)[0]
    prints.add(print_of(table._replace(identity=np.where(one, 999, table.identity))))
    prints.add(print_of(table._replace(name=np.where(one, "cam6/0006/9999", table.name))))
    prints.add(print_of(table._replace(camera=np.where(one, 3, table.camera))))
    assert len(prints) == 5


def test_a_fingerprint_of_a_large_table_takes_no_time():
    counts = {(camera, identity): 20 for camera in range(1, 7) for identity in range(1, 97)}
    table = make_table(counts)
    drawn = query_gallery(table, make_index(counts), sysu_mm01(shots=10))
    assert drawn.query_rows.shape[1] == 3840
    start = time.perf_counter()
    fingerprint(sysu_mm01(shots=10), table, drawn)
    assert time.perf_counter() - start < 2  # 0.1 s where nothing else runs


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
    ("search", "shots", "draw", "gallery", "from_camera_3", "valid"),
    [
        ("all", 1, "official", 301, 245, 3803),
        ("all", 10, "official", 3010, 2450, 3803),
        ("indoor", 1, "official", 112, 56, 2208),
        ("indoor", 10, "official", 1120, 560, 2208),
        ("all", 1, "seeded", 301, 245, 3803),
        ("indoor", 1, "seeded", 112, 56, 2208),
    ],
)
def test_official_index_gives_the_known_counts(
    official_index, search, shots, draw, gallery, from_camera_3, valid
):
    counts = {
        cell: order.shape[1] for cell, order in official_index.items() if cell[1] in TEST_IDENTITIES
    }
    table = make_table(counts)
    assert len(np.unique(table.identity)) == 96
    rule = sysu_mm01(search=search, shots=shots, sampling=draw)
    drawn = query_gallery(table, official_index, rule)
    assert drawn.query_rows.shape == (10, 3803)
    assert drawn.gallery_rows.shape == (10, gallery)
    for trial in range(10):
        rows = drawn.gallery_rows[trial]
        assert len(set(rows)) == gallery
        assert (drawn.gallery_group[rows] != 2).sum() == from_camera_3
        assert 3803 - sum(unmatched(drawn, table, trial)) == valid


@pytest.mark.fault("A11")
def test_a_table_of_large_identities_is_compared_exactly():
    table, index = make_table(COUNTS), make_index(COUNTS)
    protocol = folder()
    want = query_gallery(table, index, protocol)
    for offset, kind in ((2**62, np.uint64), (2**62, np.int64)):
        shifted = table._replace(identity=(table.identity + offset).astype(kind))
        drawn = query_gallery(shifted, index, protocol)
        for got, expected in zip(drawn, want, strict=True):
            np.testing.assert_array_equal(got, expected)
        for trial in range(protocol.trials):
            assert unmatched(drawn, shifted, trial) == unmatched(want, table, trial)
    for identity in (table.identity.astype(float), table.identity.astype(np.uint64) + 2**63):
        with pytest.raises(ValueError, match=r"table\.identity .* integers"):
            query_gallery(table._replace(identity=identity), index, protocol)


@pytest.mark.fault("A11")
def test_junk_is_refused_where_it_would_be_ranked_only():
    table, index = make_table(COUNTS), make_index(COUNTS)
    protocol = folder()
    for row in (0, int(np.flatnonzero(table.modality == "infrared")[0])):
        identity = table.identity.copy()
        identity[row] = -1
        with pytest.raises(InputError, match=rf"{table.name[row]} has the identity -1 .1 such"):
            query_gallery(table._replace(identity=identity), index, protocol)
        split = table.split.copy()
        split[row] = "train"
        query_gallery(table._replace(identity=identity, split=split), index, protocol)
