"""Ranked lists and camera pairs, beside loops over the images."""

import numpy as np
import pytest

from jreid.evaluation import Protocol, QueryGallery
from jreid.report.ranked import Labeled, camera_pairs, ranked_lists

PROTOCOL = Protocol("mine", query_cameras=(3, 6), ignore="same_location")


def images_of(queries=12, gallery=30, people=5, seed=0):
    """Random features: infrared cameras 3 and 6, visible cameras 1, 2 and 4; 3 skips 2."""
    rng = np.random.default_rng(seed)
    n = queries + gallery
    identity = rng.integers(people, size=n)
    camera = np.concatenate([rng.choice([3, 6], queries), rng.choice([1, 2, 4], gallery)])
    features = (rng.normal(size=(n, 4)) + 2 * np.eye(people, 4)[identity]).astype(np.float32)
    images = Labeled(features, identity, camera, np.array([f"image{i:02d}" for i in range(n)]))
    group = np.where(camera == 3, 2, camera)
    rows = np.arange(n)
    return images, QueryGallery(rows[None, :queries], rows[None, queries:], group, group)


def cosine(images, a, b):
    x, y = images.features[a].astype(float), images.features[b].astype(float)
    return 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def slow_list(images, drawn, query):
    """(distance, right, row) of a query's gallery, nearest first."""
    kept = [g for g in drawn.gallery_rows[0] if drawn.gallery_group[g] != drawn.query_group[query]]
    return sorted(
        (cosine(images, query, g), images.identity[g] == images.identity[query], g) for g in kept
    )


@pytest.mark.parametrize("seed", range(3))
def test_lists_are_those_of_a_loop(seed):
    images, drawn = images_of(seed=seed)
    lists = ranked_lists(images, drawn, PROTOCOL, each=4, top=3)
    assert [one.group for one in lists] == ["worst"] * 4 + ["median"] * 4 + ["best"] * 4
    assert sorted(one.row for one in lists) == [*range(12)]
    for one in lists:
        slow = slow_list(images, drawn, one.row)
        matches = [position for position, (_, right, _) in enumerate(slow, 1) if right]
        precision = np.mean([(i + 1) / position for i, position in enumerate(matches)])
        assert one.average_precision == pytest.approx(precision)
        assert (one.first_match, one.gallery) == (matches[0], len(slow))
        positions = [*range(1, 4), *([matches[0]] if matches[0] > 3 else [])]
        assert [found.position for found in one.found] == positions
        for found in one.found:
            distance, right, row = slow[found.position - 1]
            assert (found.row, found.right) == (row, right)
            assert found.distance == pytest.approx(distance, abs=1e-5)
    worst, best = lists[0], lists[8]
    assert worst.average_precision == min(one.average_precision for one in lists)
    assert best.average_precision == max(one.average_precision for one in lists)


def test_at_equal_distance_a_wrong_image_comes_first():
    features = np.ones((3, 2), np.float32)
    images = Labeled(features, np.array([7, 7, 8]), np.array([3, 1, 1]), np.array(["q", "a", "b"]))
    group = np.array([0, 1, 1])
    drawn = QueryGallery(np.array([[0]]), np.array([[1, 2]]), group, group)
    (one,) = ranked_lists(images, drawn, PROTOCOL, each=5)
    assert [found.row for found in one.found] == [2, 1]
    assert one.first_match == 2
    assert one.person_rank == 2
    assert camera_pairs(images, drawn, PROTOCOL)[0].rank1 == 0


def test_queries_without_a_match_are_left_out():
    images, drawn = images_of(queries=3)
    images.identity[0] = 99
    lists = ranked_lists(images, drawn, PROTOCOL, each=5)
    assert {one.row for one in lists} == {1, 2}
    assert len(lists) == 2  # none twice


@pytest.mark.parametrize("seed", range(3))
def test_camera_pairs_are_those_of_a_loop(seed):
    images, drawn = images_of(seed=seed)
    expected = {}
    for query in drawn.query_rows[0]:
        for camera in (1, 2, 4):
            there = [
                one for one in slow_list(images, drawn, query) if images.camera[one[2]] == camera
            ]
            if any(right for _, right, _ in there):
                pair = int(images.camera[query]), camera
                expected.setdefault(pair, []).append(there[0][1])
    found = camera_pairs(images, drawn, PROTOCOL)
    assert (3, 2) not in expected  # the protocol skips it
    assert {(one.query_camera, one.gallery_camera): one.queries for one in found} == {
        pair: len(right) for pair, right in expected.items()
    }
    for one in found:
        assert one.rank1 == pytest.approx(np.mean(expected[one.query_camera, one.gallery_camera]))
