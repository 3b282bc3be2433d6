"""The nearest images against sorting all distances, and what cannot be searched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from jreid.errors import InputError
from jreid.evaluation import nearest
from jreid.evaluation.ranking import nearest as module

FOUR = Mesh(np.array(jax.devices()[:4]), ("gallery",))


def features(seed, n, dimensions=8):
    return np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)


def all_sorted(query, gallery, k, distance):
    """By float64 distances of every pair, sorted by distance and then by index."""
    query, gallery = (np.asarray(x, np.float64) for x in (query, gallery))
    if distance == "cosine":
        query, gallery = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
            for x in (query, gallery)
        )
        full = 1 - query @ gallery.T
    else:
        full = np.sqrt(np.square(query[:, None] - gallery[None]).sum(axis=2))
    full = full.round(12)
    order = np.argsort(full, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(full, order, axis=1)


def assert_nearest(query, gallery, k, distance="cosine", **options):
    index, found = nearest(query, gallery, k, distance=distance, **options)
    expected_index, expected = all_sorted(query, gallery, k, distance)
    assert (index.dtype, found.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_hand_made_neighbors():
    query = np.array([[0.0, 0.0], [3.0, 0.0]], np.float32)
    gallery = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, -1.0]], np.float32)
    index, found = nearest(query, gallery, 2, distance="euclidean")
    np.testing.assert_array_equal(index, [[1, 2], [1, 2]])
    np.testing.assert_allclose(found, [[1, 1], [10**0.5, 10**0.5]], rtol=1e-6)
    index, found = nearest(query[1:], gallery, 3)
    np.testing.assert_array_equal(index, [[0, 1, 2]])
    np.testing.assert_allclose(found, [[0.4, 1, 1]], rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    Q=st.integers(1, 40),
    G=st.integers(1, 90),
    share=st.floats(0, 1),
    distance=st.sampled_from(["cosine", "euclidean"]),
    block=st.sampled_from([1, 32]),
    mesh=st.sampled_from([None, FOUR]),
)
def test_any_problem_as_by_sorting(seed, Q, G, share, distance, block, mesh):
    k = 1 + int(share * (G - 1))
    query, gallery = features(seed, Q), features(seed + 1, G)
    assert_nearest(query, gallery, k, distance, block=block, mesh=mesh)


@pytest.mark.parametrize("mesh", [None, FOUR])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_many_tiles_and_two_stages_as_by_sorting(monkeypatch, mesh, k):
    monkeypatch.setattr(module, "TILE", 256)
    assert_nearest(features(0, 33), features(1, 2100), k, "euclidean", mesh=mesh)


@pytest.mark.parametrize("mesh", [None, FOUR])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_equal_images_are_ordered_by_index(mesh, distance):
    few = features(2, 3, 64)
    gallery = few[np.random.default_rng(3).integers(0, 3, 500)]
    index, found = nearest(few, gallery, 200, distance=distance, mesh=mesh)
    for row, own in enumerate(few):
        same = np.flatnonzero((gallery == own).all(axis=1))
        assert 100 < len(same) < 200
        np.testing.assert_array_equal(index[row, : len(same)], same)
        assert not found[row, : len(same)].any()
        assert (found[row, len(same) :] > 0.1).all()


@pytest.mark.parametrize("dimensions", [5, 700, 768, 2048])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_constant_features_are_ordered_by_index(dimensions, distance):
    for value in (0.1, 1 / 3, 0.9999):
        gallery = np.full((300, dimensions), value, np.float32)
        index, found = nearest(gallery[:2], gallery, 4, distance=distance)
        np.testing.assert_array_equal(index, [[0, 1, 2, 3]] * 2)
        assert not found.any()


def test_a_zero_feature_is_at_cosine_distance_one_from_all():
    gallery = features(4, 5)
    gallery[3] = 0
    index, found = nearest(np.zeros((1, 8), np.float32), gallery, 5)
    np.testing.assert_array_equal(index, [[0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(found, [[1, 1, 1, 1, 1]])


def test_jax_arrays_and_other_precisions():
    query, gallery = features(5, 7), features(6, 9)
    expected = nearest(query, gallery, 3)
    for made in (
        nearest(jnp.asarray(query), jnp.asarray(gallery), 3),
        nearest(query.astype(np.float64), gallery.astype(np.float64), 3),
    ):
        for a, b in zip(made, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("k", "sentence"),
    [(0, "k is 0, but the gallery has 9 images: choose 1 to 9."), (10, "k is 10, .* 1 to 9.")],
)
def test_k_out_of_range_is_refused(k, sentence):
    with pytest.raises(InputError, match=sentence):
        nearest(features(0, 2), features(1, 9), k)


def test_features_that_cannot_be_compared_are_refused():
    good, bad = features(0, 4), features(1, 4)
    bad[2, 1] = np.nan
    with pytest.raises(InputError, match=r"query features hold NaN .* row 2"):
        nearest(bad, good, 1)
    with pytest.raises(InputError, match=r"gallery features hold NaN .* row 2"):
        nearest(good, bad, 1)
    for scale in (1e30, 1e-30):
        with pytest.raises(InputError, match="too large or too small"):
            nearest(good * np.float32(scale), good * np.float32(scale), 1, distance="euclidean")
    with pytest.raises(ValueError, match="8 dimensions, gallery 7"):
        nearest(good, good[:, :7], 1)
    with pytest.raises(ValueError, match="manhattan"):
        nearest(good, good, 1, distance="manhattan")
