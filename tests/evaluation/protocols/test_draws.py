import os
import random

import numpy as np
import pytest
from helpers.oracle import make_index, make_llcm_table, make_table

from jreid.errors import InputError
from jreid.evaluation.protocols.llcm import llcm, llcm_released_vis_to_ir
from jreid.evaluation.protocols.query_gallery import query_gallery
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01

COUNTS = {(camera, identity): 12 for camera in range(1, 7) for identity in (6, 10, 17)}
COUNTS |= {(2, 21): 11, (3, 21): 3}
LLCM_INFRARED = [f"test_nir/cam{c}" for c in (1, 2, 4, 5, 6, 7, 8, 9)]


def names(table, rows):
    return [str(name) for name in table.name[rows]]


@pytest.mark.parametrize(("search", "cameras"), [("all", (1, 2, 4, 5)), ("indoor", (1, 2))])
@pytest.mark.parametrize("shots", [1, 10])
def test_the_official_gallery_is_the_head_of_each_permutation(search, cameras, shots):
    table, index = make_table(COUNTS), make_index(COUNTS)
    drawn = query_gallery(table, index, sysu_mm01(search=search, shots=shots))
    for trial in range(10):
        expected = [
            f"cam{camera}/{identity:04d}/{number:04d}"
            for camera, identity in COUNTS
            if camera in cameras
            for number in index[camera, identity][trial, :shots]
        ]
        assert sorted(names(table, drawn.gallery_rows[trial])) == sorted(expected)


def test_fewer_images_than_shots_are_all_drawn():
    counts = {(1, 6): 4, (6, 6): 2}
    drawn = query_gallery(make_table(counts), make_index(counts), sysu_mm01(shots=10))
    assert drawn.gallery_rows.shape == (10, 4)


def released_draw(root, cameras, identities, trial):
    """The released codes' own walk through the folders."""
    random.seed(trial)
    drawn = []
    for identity in sorted(f"{identity:04d}" for identity in identities):
        for camera in cameras:
            folder = f"{root}/{camera}/{identity}"
            if os.path.isdir(folder):
                drawn.append(random.choice(sorted(f"{folder}/{x}" for x in os.listdir(folder))))
    return [os.path.relpath(path, root).removesuffix(".jpg") for path in drawn]


def plant(root, table):
    """A file for each image, in an order that is not the names'."""
    for row in np.random.default_rng(0).permutation(len(table.name)):
        path = root / f"{table.name[row]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def random_counts(cells, seed):
    """Images of each cell, many of them none."""
    generator = np.random.default_rng(seed)
    counts = {cell: int(generator.integers(-4, 40)) for cell in cells}
    return {cell: images for cell, images in counts.items() if images > 0}


@pytest.mark.parametrize(
    ("search", "cameras"),
    [("all", ["cam1", "cam2", "cam4", "cam5"]), ("indoor", ["cam1", "cam2"])],
)
def test_agws_gallery_of_sysu_mm01_to_the_file(tmp_path, search, cameras):
    identities = [6, 10, 17, 112, 333, 21, 9, 1]
    table = make_table(random_counts([(c, i) for c in range(1, 7) for i in identities], 1))
    plant(tmp_path, table)
    drawn = query_gallery(table, {}, sysu_mm01(search=search, sampling="seeded"))
    for trial, rows in enumerate(drawn.gallery_rows):
        assert names(table, rows) == released_draw(tmp_path, cameras, identities, trial)
    assert len({tuple(rows) for rows in drawn.gallery_rows}) == 10


@pytest.mark.parametrize(
    ("rule", "side", "cameras"),
    [
        (llcm(), "gallery", [f"test_vis/cam{c}" for c in range(1, 10)]),
        (llcm(direction="visible_to_infrared"), "gallery", LLCM_INFRARED),
        (llcm_released_vis_to_ir(), "query", LLCM_INFRARED),
    ],
)
def test_llcms_draw_to_the_file(tmp_path, rule, side, cameras):
    identities = [3, 12, 711, 1064, 250]
    cells = [("visible", c, i) for c in range(1, 10) for i in identities]
    cells += [("infrared", c, i) for c in range(1, 10) if c != 3 for i in identities]
    table = make_llcm_table(random_counts(cells, 2))
    plant(tmp_path, table)
    drawn = query_gallery(table, {}, rule)
    rows_of_trials = drawn.gallery_rows if side == "gallery" else drawn.query_rows
    assert len(rows_of_trials) == 10
    for trial, rows in enumerate(rows_of_trials):
        assert names(table, rows) == released_draw(tmp_path, cameras, identities, trial)


def test_a_draw_leaves_pythons_generator_alone(monkeypatch):
    for function in ("seed", "choice", "random"):
        monkeypatch.setattr(random, function, None)
    query_gallery(make_table(COUNTS), {}, sysu_mm01(sampling="seeded"))


def test_the_official_draw_needs_its_permutations():
    remedies = r"--gallery-index=rand_perm_cam\.mat.* sysu_mm01:sampling=seeded"
    with pytest.raises(InputError, match=remedies):
        query_gallery(make_table(COUNTS), {}, sysu_mm01())


def test_an_image_that_the_folder_lacks_is_named():
    smaller = COUNTS | {(4, 10): 10, (5, 6): 0}
    with pytest.raises(InputError, match=r"names cam5/0006/0001,.*\(14 missing in all\)"):
        query_gallery(make_table(smaller), make_index(COUNTS), sysu_mm01())


def test_an_identity_that_the_index_lacks_is_named():
    index = make_index(COUNTS)
    del index[4, 17]
    with pytest.raises(InputError, match="no entry for cam4/0017"):
        query_gallery(make_table(COUNTS), index, sysu_mm01())
    index[4, 17] = np.zeros((10, 0), int)
    with pytest.raises(InputError, match="no entry for cam4/0017"):
        query_gallery(make_table(COUNTS), index, sysu_mm01())


def test_fewer_trials_than_asked():
    index, table = make_index(COUNTS, trials=3), make_table(COUNTS)
    assert len(query_gallery(table, index, sysu_mm01(trials=3)).gallery_rows) == 3
    with pytest.raises(InputError, match=r"has 3 trials .* needs 10"):
        query_gallery(table, index, sysu_mm01())


def test_a_draw_that_nobody_makes():
    with pytest.raises(ValueError, match="sampling='lots'"):
        query_gallery(make_table(COUNTS), {}, sysu_mm01()._replace(sampling="lots"))
