"""The cross-modality kinds of re-ranking: an example by hand, and what must not change them."""

import numpy as np
import pytest
from helpers import rerank_oracle

from jreid.evaluation import KINDS, Rerank, rerank
from jreid.evaluation.ranking.rerank_options import BY_SIDE

ANGLES = np.deg2rad([0, 90, 30, 75, 130])  # two queries and three gallery images
PLANE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
# Worked out with pencil and paper, lambda = 0.3: kind, k1, k2, k3, and both queries' distances.
BY_HAND = [
    ("standard", 2, 1, None, [0.3406, 0.7325, 1], [0.7305, 0.3224, 0.4335]),
    ("standard", 2, 2, None, [0.0245, 0.7242, 0.9449], [0.7389, 0.0102, 0.4082]),
    ("extended", 2, 1, None, [0.2705, 0.5596, 0.8811], [0.5420, 0.2768, 0.5162]),
    ("extended", 2, 2, None, [0.0245, 0.4975, 0.7807], [0.5122, 0.0102, 0.3758]),
    ("extended", 2, 2, 1, [0.0245, 0.4975, 0.7807], [0.5122, 0.0102, 0.3758]),
    ("divided", 1, 1, None, [0.7245, 0.8354, 1], [0.8500, 0.7102, 0.7702]),
    ("divided", 1, 2, None, [0.0245, 0.1354, 0.3], [0.15, 0.0102, 0.0702]),
    ("constrained", 1, 1, None, [0.1928, 0.4965, 0.9456], [0.6975, 0.2170, 0.4807]),
    ("constrained", 1, 2, None, [0.0245, 0.1354, 0.5333], [0.3833, 0.2436, 0.0702]),
    ("constrained_released", 1, 2, None, [0.0245, 0.1354, 0.3101], [0.1601, 0.0203, 0.0702]),
]


def sides(seed, Q=30, G=26):
    """Noisy images of five people; the gallery is of another modality."""
    random = np.random.default_rng(seed)
    images = 3 * random.normal(size=(5, 8))[random.integers(0, 5, Q + G)]
    images = images + random.normal(size=images.shape)
    images[Q:] += random.normal(size=8)
    return images[:Q].astype(np.float32), images[Q:].astype(np.float32)


@pytest.mark.parametrize(("kind", "k1", "k2", "k3", *"ab"), BY_HAND)
def test_five_images_by_hand(kind, k1, k2, k3, a, b):
    made = rerank(PLANE[:2], PLANE[2:], Rerank(kind, k1, k2, 0.3, k3))
    np.testing.assert_allclose(made, [a, b], atol=6e-5)
    dense = rerank_oracle.cmkr(PLANE[:2], PLANE[2:], kind, k1, k2, 0.3, k3)
    np.testing.assert_allclose(dense, [a, b], atol=6e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_lambda_1_every_kind_has_the_plain_distance(kind):
    made = rerank(*sides(0), Rerank(kind, 6, 3, 1.0))
    np.testing.assert_allclose(made, rerank(*sides(0), Rerank("standard", 6, 3, 1.0)), atol=1e-7)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "constrained_released"])
def test_the_order_of_the_images_does_not_matter(kind):
    query, gallery = sides(1)
    random = np.random.default_rng(0)
    rows, columns = random.permutation(len(query)), random.permutation(len(gallery))
    how = Rerank(kind, 6, 3, 0.3)
    made = rerank(query[rows], gallery[columns], how)
    np.testing.assert_allclose(made, rerank(query, gallery, how)[rows][:, columns], atol=1e-5)


def test_the_order_changes_what_the_released_code_computes():
    query, gallery = sides(1)
    how, order = Rerank("constrained_released", 6, 3, 0.3), np.random.default_rng(0).permutation(26)
    made = rerank(query, gallery[order], how)
    assert np.abs(made - rerank(query, gallery, how)[:, order]).max() > 0.1


def test_the_released_index_has_no_effect_where_nothing_is_averaged():
    made, released = (rerank(*sides(2), Rerank(kind, 6, 1, 0.3)) for kind in BY_SIDE)
    np.testing.assert_array_equal(made, released)
    made, released = (rerank(*sides(2), Rerank(kind, 6, 3, 0.3)) for kind in BY_SIDE)
    assert np.abs(made - released).max() > 0.1


@pytest.mark.parametrize(
    ("how", "back"),
    [
        (Rerank("standard", 6, 3, 0.0), Rerank("standard", 6, 3, 0.0)),
        (Rerank("extended", 6, 4, 0.0), Rerank("extended", 6, 4, 0.0)),
        (Rerank("extended", 6, 4, 0.0, k3=1), Rerank("extended", 6, 4, 0.0, k3=3)),
        (Rerank("constrained", 6, 3, 0.0), Rerank("constrained", 6, 3, 0.0)),
    ],
)
def test_jaccard_distances_are_those_of_the_reverse_direction(how, back):
    query, gallery = sides(3)
    made = rerank(query, gallery, how)
    np.testing.assert_allclose(made, rerank(gallery, query, back).T, atol=1e-5)
    assert np.ptp(made) > 0.3


def test_extended_is_standard_where_all_images_are_neighbors():
    how = Rerank("standard", 55, 3, 0.3)
    made = rerank(*sides(4), how._replace(kind="extended"))
    np.testing.assert_allclose(made, rerank(*sides(4), how), atol=1e-6)


def test_extended_has_neighbors_that_a_modality_gap_hides():
    query, gallery = sides(5)
    gallery = gallery + np.float32(40)  # every gallery image is nearer to all of its own side
    standard, extended = (
        rerank(query, gallery, Rerank(kind, 6, 1, 0.0), distance="euclidean")
        for kind in ("standard", "extended")
    )
    np.testing.assert_array_equal(standard, np.ones_like(standard))
    assert (extended < 1).mean() > 0.1


def test_divided_is_query_only_but_for_its_scale():
    query, gallery = sides(6)
    divided, query_only = (
        rerank(query, gallery, Rerank(kind, 6, 3, 0.3)) for kind in ("divided", "query_only")
    )
    assert 0 < np.abs(divided - query_only).max() < 0.05
    query = np.concatenate([query, -query])  # each query's farthest image is another query
    divided, query_only = (
        rerank(query, gallery, Rerank(kind, 6, 3, 0.3)) for kind in ("divided", "query_only")
    )
    np.testing.assert_allclose(divided, query_only, atol=1e-6)


def test_ma_lqe_with_the_share_that_the_neighbors_have_is_the_plain_mean():
    """Each image's nearest two are a query and a gallery image."""
    query, _ = sides(7)
    gallery = query + np.float32(1e-3)
    plain = Rerank("standard", 6, 2, 0.3)
    made = rerank(query, gallery, plain._replace(k3=1))
    np.testing.assert_allclose(made, rerank(query, gallery, plain), atol=1e-5)


@pytest.mark.parametrize("kind", ["extended", "constrained", "constrained_released"])
def test_many_ties_as_the_oracle(kind):
    everyone = np.random.default_rng(0).integers(0, 2, (90, 3)).astype(np.float32)
    for k3 in (None, 2) if kind == "extended" else (None,):
        how = Rerank(kind, 12, 4, 0.3, k3)
        made = rerank(everyone[:40], everyone[40:], how, distance="euclidean", block=16)
        dense = rerank_oracle.rerank(everyone[:40], everyone[40:], *how, distance="euclidean")
        np.testing.assert_allclose(made, dense, atol=1e-5)
