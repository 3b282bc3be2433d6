import jax
import numpy as np
import pytest
from helpers.meshes import DEVICES_AND_TILES
from helpers.oracle import distances, rank_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jreid.evaluation.ranking import counting
from jreid.evaluation.ranking import gallery as gallery_module
from jreid.evaluation.ranking.trials import rank_trials

N = 24


@pytest.fixture(params=DEVICES_AND_TILES)
def mesh(request, monkeypatch):
    devices, tile = request.param
    monkeypatch.setattr(gallery_module, "TILE", tile)
    return jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    seed=st.integers(0, 10**6),
    distance=st.sampled_from(["cosine", "euclidean"]),
    cmc=st.sampled_from(["identity", "image"]),
    queries=st.sampled_from(["equal", "of their own"]),
    galleries=st.sampled_from(["equal", "of their own"]),
)
def test_each_trial_equals_the_oracle(mesh, seed, distance, cmc, queries, galleries):
    random = np.random.default_rng(seed)
    features = random.choice(np.float32([-1, 1]), (N, 4))  # every distance is exact in float32
    identity, query_group, gallery_group = random.integers(0, (5, 3, 3), (N, 3)).T
    query_rows = draw(random, 6, queries)
    gallery_rows = draw(random, 11, galleries)
    rankings = rank_trials(
        features, identity, query_rows, gallery_rows, query_group, gallery_group,
        cmc=cmc, distance=distance, block=4, mesh=mesh,
    )  # fmt: skip
    assert len(rankings) == 3
    for ranking, q, g in zip(rankings, query_rows, gallery_rows, strict=True):
        kept = query_group[q][:, None] != gallery_group[g]
        distance_matrix = distances(features[q], features[g], distance)
        expected = rank_all(distance_matrix, identity[q], identity[g], kept, cmc)
        np.testing.assert_array_equal(ranking.rank, expected[0])
        np.testing.assert_allclose(ranking.average_precision, expected[1], rtol=1e-12)
        np.testing.assert_allclose(ranking.inverse_negative_penalty, expected[2], rtol=1e-12)
        np.testing.assert_array_equal(ranking.matches, expected[3])


def draw(random, size, which):
    rows = np.stack([random.permutation(N)[:size] for _ in range(3)])
    return np.tile(rows[0], (3, 1)) if which == "equal" else rows


def test_ten_trials_share_one_pass(monkeypatch):
    passes = []
    tile_distances = counting.tile_distances
    monkeypatch.setattr(
        counting, "tile_distances", lambda *arrays: passes.append(1) or tile_distances(*arrays)
    )
    random = np.random.default_rng(0)
    rows = np.stack([random.permutation(N)[:15] for _ in range(10)])
    ids = np.arange(N) % 5
    features = random.normal(size=(N, 3)).astype(np.float32)
    rank_trials(features, ids, rows, rows, ids, ids + 9)
    assert len(passes) == 1
