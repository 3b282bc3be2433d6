"""Re-ranking against a dense float64 form, by hand where that is possible, and what is refused."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rerank_oracle
from helpers.peak_memory import measured
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from jreid.errors import InputError
from jreid.evaluation import KINDS, Rerank, rerank, rerank_blocks
from jreid.evaluation.ranking import distance_tiles
from jreid.evaluation.ranking import jaccard as reciprocal
from jreid.evaluation.ranking.rerank_options import AMONG_QUERIES, BY_SIDE, WITH_K3

FOUR = Mesh(np.array(jax.devices()[:4]), ("gallery",))


def features(seed, n, dimensions=8):
    return np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)


def sides(seed, Q, G):
    """Noisy images of few identities, so that neighbors are reciprocal."""
    centers = 3 * features(seed, 5)
    identity = np.random.default_rng(seed).integers(0, 5, Q + G)
    images = centers[identity] + features(seed + 1, Q + G)
    return images[:Q], images[Q:]


def assert_as_oracle(query, gallery, how, distance="cosine", **options):
    made = rerank(query, gallery, how, distance=distance, **options)
    expected = rerank_oracle.rerank(query, gallery, *how, distance=distance)
    assert (made.dtype, made.shape) == (np.float32, (len(query), len(gallery)))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    return made


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    Q=st.integers(2, 40),
    G=st.integers(2, 40),
    kind=st.sampled_from(KINDS),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    distance=st.sampled_from(["cosine", "euclidean"]),
    block=st.sampled_from([7, 16, 512]),
    mesh=st.sampled_from([None, FOUR]),
)
def test_any_problem_as_the_oracle(seed, Q, G, kind, shares, weight, distance, block, mesh):
    query, gallery = sides(seed, Q, G)
    candidates = Q if kind in AMONG_QUERIES else min(Q, G) if kind in BY_SIDE else Q + G
    k1 = 1 + int(shares[0] * min(candidates - 2, 24))
    k2 = 1 + int(shares[1] * k1)
    k3 = None
    if kind in WITH_K3 and seed % 3:
        k3 = int(min(k2, G, max(k2 - Q, seed % 7)))
    how = Rerank(kind, k1, k2, weight, k3)
    assert_as_oracle(query, gallery, how, distance, block=block, mesh=mesh)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_problem_at_the_default_numbers(kind):
    query, gallery = sides(3, 210, 170)
    made = assert_as_oracle(query, gallery, Rerank(kind), block=64)
    expected = rerank_oracle.rerank(query, gallery, kind)
    np.testing.assert_array_equal(made.argsort(axis=1)[:, 0], expected.argsort(axis=1)[:, 0])
    assert np.ptp(made) > 0.5


def test_two_pairs_by_hand():
    # Each image and its partner are each other's nearest; the pairs are far apart.
    query = np.array([[0.0], [100.0]], np.float32)
    gallery = np.array([[1.0], [101.0]], np.float32)
    made = rerank(query, gallery, Rerank("standard", 1, 1, 0.25), distance="euclidean")
    # Codes hold an image at distance 0 and its partner at 1, over the image's own largest.
    far, near = np.exp(-1 / 101**2), np.exp(-1 / 100**2)
    of_query, of_gallery = np.array([1, far]) / (1 + far), np.array([near, 1]) / (1 + near)
    shared = np.minimum(of_query, of_gallery).sum()
    jaccard = 1 - shared / (2 - shared)
    first = [0.75 * jaccard + 0.25 / 101**2, 0.75 + 0.25]
    np.testing.assert_allclose(made[0], first, atol=1e-7)


def test_query_only_seeks_no_neighbors_in_the_gallery():
    query, gallery = sides(1, 12, 6)
    how = Rerank("query_only", 5, 3, 0.0)
    alone = np.hstack([rerank(query, image[None], how) for image in gallery])
    # Weights are relative to an image's largest distance, so that equality is not exact.
    assert np.abs(rerank(query, gallery, how) - alone).max() < 0.05
    standard = Rerank("standard", 5, 3, 0.0)
    alone = np.hstack([rerank(query, image[None], standard) for image in gallery])
    assert np.abs(rerank(query, gallery, standard) - alone).max() > 0.2


def test_query_only_without_averaging_leaves_the_gallery_without_codes():
    query, gallery = sides(2, 9, 7)
    made = assert_as_oracle(query, gallery, Rerank("query_only", 4, 1, 0.0))
    np.testing.assert_array_equal(made, np.ones_like(made))


def test_weight_one_is_the_original_distance_over_the_querys_largest():
    query, gallery = sides(4, 8, 9)
    made = rerank(query, gallery, Rerank("standard", 5, 2, 1.0), distance="euclidean")
    everyone = np.concatenate([query, gallery])
    squared = np.square(query[:, None] - everyone[None]).sum(axis=2)
    np.testing.assert_allclose(made, squared[:, 8:] / squared.max(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_and_zero_features_as_the_oracle(kind):
    for distance in ("cosine", "euclidean"):
        query, gallery = sides(5, 30, 30)
        query[4], gallery[2], gallery[9] = query[7], query[7], query[7]
        gallery[12] = 0
        assert_as_oracle(query, gallery, Rerank(kind, 6, 3), distance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_constant_features_give_numbers(kind, distance):
    for dimensions, value in ((700, 0.1), (768, 0.3), (2048, 1 / 3)):
        query = np.full((30, dimensions), value, np.float32)
        assert_as_oracle(query, query[:25], Rerank(kind, 5, 3), distance)


def test_one_gallery_image_and_one_query():
    assert_as_oracle(*sides(6, 12, 1), Rerank("standard", 5, 3))
    assert_as_oracle(*sides(6, 12, 1), Rerank("query_only", 5, 3))
    assert_as_oracle(*sides(6, 1, 12), Rerank("standard", 5, 3))
    assert_as_oracle(*sides(6, 1, 1), Rerank("standard", 1, 2))


def test_extreme_scales_change_nothing():
    query, gallery = sides(7, 20, 20)
    expected = rerank(query, gallery, Rerank("standard", 6, 3), distance="euclidean")
    for scale in (2.0**80, 2.0**-80):
        query_scaled, gallery_scaled = (x * np.float32(scale) for x in (query, gallery))
        made = rerank(query_scaled, gallery_scaled, Rerank("standard", 6, 3), distance="euclidean")
        np.testing.assert_allclose(made, expected, atol=1e-6)


def test_blocks_come_in_order_and_are_small():
    query, gallery = sides(8, 23, 11)
    how = Rerank("standard", 6, 3)
    blocks = list(rerank_blocks(query, gallery, how, block=5))
    assert all(len(block) <= 5 and block.shape[1] == 11 for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), rerank(query, gallery, how), atol=1e-6)


def test_jax_arrays_and_other_precisions():
    query, gallery = sides(9, 20, 15)
    how = Rerank("standard", 6, 3)
    expected = rerank(query, gallery, how)
    made = rerank(jnp.asarray(query), jnp.asarray(gallery), how)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    made = rerank(query.astype(np.float64), gallery.astype(np.float64), how)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_its_text():
    assert str(Rerank("standard")) == "standard(k1=20,k2=6,lambda=0.3)"
    assert str(Rerank("query_only", 5, 2, 0.0)) == "query_only(k1=5,k2=2,lambda=0)"


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (Rerank("gnn", 3, 2), r"gnn\(.* kind .* standard.* query_only"),
        (Rerank("standard", 9, 2), r"k1=9,.* 9 images.* 1 to 8"),
        (Rerank("standard", 0, 1), r"k1=0,.* 1 to 8"),
        (Rerank("query_only", 4, 2), r"k1=4,.* 4 .*1 to 3"),
        (Rerank("standard", 3, 5), r"k2=5,.*4"),
        (Rerank("standard", 3, 0), r"k2=0,.*4"),
        (Rerank("standard", 3, 2, 1.1), r"lambda=1\.1.*0 to 1"),
        (Rerank("standard", 3, 2, float("nan")), r"lambda=nan.*0 to 1"),
        (Rerank("divided", 4, 2), r"k1=4,.* 4 .*1 to 3"),
        (Rerank("constrained", 4, 2), r"k1=4,.* 4 .*1 to 3"),
        (Rerank("constrained_released", 3, 5), r"k2=5,.*4"),
        (Rerank("extended", 9, 2), r"k1=9,.* 9 images.* 1 to 8"),
        (Rerank("constrained", 3, 2, k3=1), r"k3=1,.*only standard and extended"),
        (Rerank("extended", 3, 2, k3=3), r"k3=3,.*0 to k2 = 2"),
        (Rerank("extended", 7, 6, k3=1), r"k3=1,.* 4 queries"),
        (Rerank("extended", 7, 6, k3=6), r"k3=6,.* 5 gallery images"),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(how, sentence):
    with pytest.raises(InputError, match=sentence):
        rerank_blocks(features(0, 4), features(1, 5), how)


@pytest.mark.parametrize("kind", [*AMONG_QUERIES, *BY_SIDE])
def test_a_single_query_has_no_neighbors(kind):
    with pytest.raises(InputError, match="two"):
        rerank(features(0, 1), features(1, 5), Rerank(kind, 1, 1))


def test_features_that_cannot_be_compared_are_refused():
    good, bad = features(0, 9), features(1, 9)
    bad[2, 1] = np.nan
    how = Rerank("standard", 3, 2)
    with pytest.raises(InputError, match=r"query features hold NaN .* row 2"):
        rerank(bad, good, how)
    with pytest.raises(InputError, match=r"gallery features hold NaN .* row 2"):
        rerank(good, bad, how)
    with pytest.raises(ValueError, match="8 dimensions, gallery 7"):
        rerank(good, good[:, :7], how)
    with pytest.raises(ValueError, match="manhattan"):
        rerank(good, good, how, distance="manhattan")


@pytest.mark.parametrize("kind", KINDS)
def test_four_devices_give_the_numbers_of_one(kind):
    query, gallery = sides(10, 90, 70)
    made = rerank(query, gallery, Rerank(kind), block=16, mesh=FOUR)
    np.testing.assert_array_equal(made, rerank(query, gallery, Rerank(kind), block=16))


def test_the_same_where_little_is_held_at_once(monkeypatch):
    query, gallery = sides(11, 60, 50)
    expected = rerank(query, gallery, block=16)
    monkeypatch.setattr(distance_tiles, "CACHED_DISTANCES", 600)  # some of the tiles
    monkeypatch.setattr(reciprocal, "PAIRS", 3)
    monkeypatch.setattr(reciprocal, "SHARED", 100)
    np.testing.assert_allclose(rerank(query, gallery, block=16), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_many_ties_fall_by_number(kind):
    everyone = np.random.default_rng(0).integers(0, 2, (300, 3)).astype(np.float32)
    assert_as_oracle(everyone[:120], everyone[120:], Rerank(kind), "euclidean", block=64)


MEASURE = """
from jreid.evaluation.ranking.rerank import Rerank, rerank_blocks, rerank_memory

def run(Q, G, D=64, block=256):
    random = np.random.default_rng(0)
    centers = random.standard_normal(((Q + G) // 40, D), np.float32)
    identity = random.integers(0, len(centers), Q + G)
    features = 2 * random.standard_normal((Q + G, D), np.float32) + centers[identity]
    before = peak()
    for _ in rerank_blocks(features[:Q], features[Q:], block=block):
        pass
    return peak() - before, rerank_memory(Q, G, D, Rerank(), block)

run(200, 300)
print(*run(*map(int, sys.argv[1:])))
"""


@pytest.mark.fault("F22")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    ("Q", "G"), [(1_500, 10_000), pytest.param(3_000, 15_000, marks=pytest.mark.slow)]
)
def test_memory_stays_below_the_estimate(Q, G):
    taken, estimate = measured(MEASURE, Q, G)
    assert 4 * Q * G < taken < estimate < 4 * (Q + G) ** 2
