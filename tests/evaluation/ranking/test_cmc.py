import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.meshes import DEVICES_AND_TILES
from helpers.oracle import distances, rank_all
from helpers.peak_memory import measured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jreid.errors import InputError
from jreid.evaluation import cmc_map, mean_metrics
from jreid.evaluation.ranking import cmc, counting
from jreid.evaluation.ranking import gallery as gallery_module
from jreid.evaluation.ranking.cmc import score_distances
from jreid.evaluation.ranking.gallery import partition_gallery


def integers(low, high, *shape):
    size = int(np.prod(shape))
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(
        lambda values: np.array(values).reshape(shape)
    )


@st.composite
def problems(draw):
    """Small numbers, so that distances are exact in float32 and many are equal."""
    Q, G = draw(st.integers(1, 7)), draw(st.sampled_from([1, 2, 20]))
    distance = draw(st.sampled_from(["cosine", "euclidean"]))
    if distance == "cosine":  # rows of norm 2 or 0: every cosine is exact in float32
        features = 2 * draw(integers(0, 1, Q + G, 4)) - 1
        features = features * draw(integers(0, 3, Q + G, 1)).clip(0, 1)
    else:
        features = draw(integers(-1, 2, Q + G, 2))
    return {
        "features": features.astype(np.float32),
        "identities": np.array([-3, -2, 0, 1, 2])[draw(integers(0, 4, Q + G))],  # -1 is junk
        "places": draw(integers(0, 2, Q + G)),
        "cmc": draw(st.sampled_from(["identity", "image"])),
        "distance": distance,
        "Q": Q,
    }


def assert_equals_oracle(result, expected):
    rank, average_precision, inverse_negative_penalty, matches = expected
    np.testing.assert_array_equal(result.rank, rank)
    np.testing.assert_array_equal(result.matches, matches)
    np.testing.assert_allclose(result.average_precision, average_precision, rtol=1e-12)
    np.testing.assert_allclose(
        result.inverse_negative_penalty, inverse_negative_penalty, rtol=1e-12
    )


@pytest.fixture(params=DEVICES_AND_TILES)
def mesh(request, monkeypatch):
    """One device or four, and tiles so small that a gallery has several, or the usual ones."""
    devices, tile = request.param
    monkeypatch.setattr(gallery_module, "TILE", tile)
    return jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])


reused = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


@reused
@given(problems())
def test_ranks_equal_the_oracle(mesh, p):
    (query, gallery), (qi, gi), (qp, gp) = (
        (p[key][: p["Q"]], p[key][p["Q"] :]) for key in ("features", "identities", "places")
    )
    result = cmc_map(
        query, gallery, qi, gi, qp, gp, cmc=p["cmc"], distance=p["distance"], block=4, mesh=mesh
    )
    expected = rank_all(
        distances(query, gallery, p["distance"]), qi, gi, qp[:, None] != gp, p["cmc"]
    )
    assert_equals_oracle(result, expected)


@reused
@given(problems())
def test_ranks_of_given_distances_equal_the_oracle(p):
    (query, gallery), (qi, gi), (qp, gp) = (
        (p[key][: p["Q"]], p[key][p["Q"] :]) for key in ("features", "identities", "places")
    )
    distance = distances(query, gallery, p["distance"])
    blocks = (distance[start : start + 4] for start in range(0, len(query), 4))
    result = score_distances(blocks, qi, gi, qp, gp, cmc=p["cmc"])
    assert_equals_oracle(result, rank_all(distance, qi, gi, qp[:, None] != gp, p["cmc"]))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_real_valued_features_equal_the_oracle_in_any_block(distance, mesh):
    random = np.random.default_rng(0)
    query = random.normal(size=(23, 6)).astype(np.float32)
    gallery = random.normal(size=(41, 6)).astype(np.float32)
    qi, gi = random.integers(0, 9, 23), random.integers(0, 9, 41)
    expected = rank_all(distances(query, gallery, distance), qi, gi, np.ones((23, 41), bool))
    for block in (1, 7, 23, 256):
        result = cmc_map(query, gallery, qi, gi, distance=distance, block=block, mesh=mesh)
        assert_equals_oracle(result, expected)


def test_hand_made_ranking():
    # Distances 1, 2, 3, 4, 5 to identities 8, 8, 7, 9, 7: two images of 8 are one identity.
    gallery = np.array([[1.0], [2], [3], [4], [5]])
    result = cmc_map(np.zeros((1, 1)), gallery, [7], [8, 8, 7, 9, 7], distance="euclidean")
    assert result.rank.tolist() == [2]
    assert result.average_precision.tolist() == [(1 / 3 + 2 / 5) / 2]
    assert result.inverse_negative_penalty.tolist() == [2 / 5]
    result = cmc_map(
        np.zeros((1, 1)), gallery, [7], [8, 8, 7, 9, 7], cmc="image", distance="euclidean"
    )
    assert result.rank.tolist() == [3]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_equal_rows_tie_wherever_they_lie(distance, mesh, monkeypatch):
    """Ten points, each given to many images of which one is a match: it is the last of them."""
    matmul = counting.jnp.matmul

    jax.clear_caches()

    def rounded_by_row(a, b, **options):
        noise = 1e-5 * np.sin(len(a) + np.arange(len(a), dtype=np.float32))
        return matmul(a, b, **options) + noise[:, None]

    monkeypatch.setattr(counting.jnp, "matmul", rounded_by_row)
    random = np.random.default_rng(1)
    points = random.normal(size=(10, 515)).astype(np.float32)
    of_point = random.permutation(np.repeat(np.arange(10), 60)[:-7])
    identities = np.arange(len(of_point)) + 1000
    for point in range(10):
        identities[random.choice(np.flatnonzero(of_point == point))] = point
    result = cmc_map(
        points, points[of_point], np.arange(10), identities, distance=distance, mesh=mesh
    )
    np.testing.assert_array_equal(result.rank, np.bincount(of_point))
    jax.clear_caches()


def test_constant_features_are_never_right():
    gallery_identities = np.repeat(np.arange(10), 3)
    constant = np.full((30, 8), 0.3, np.float32)
    for features in (constant, np.zeros_like(constant)):
        metrics = mean_metrics(cmc_map(features, features, gallery_identities, gallery_identities))
        assert metrics.cmc == {1: 0, 5: 0, 10: 1, 20: 1}  # the last of ten identities
        assert metrics.mean_average_precision == pytest.approx((1 / 28 + 2 / 29 + 3 / 30) / 3)
        assert metrics.mean_inverse_negative_penalty == pytest.approx(3 / 30)


def test_extreme_magnitudes_do_not_overflow():
    random = np.random.default_rng(2)
    query, gallery = random.normal(size=(2, 12, 5))
    ids = np.arange(12) % 4
    for distance in ("cosine", "euclidean"):
        expected = cmc_map(query, gallery, ids, ids, distance=distance)
        for scale in (2.0**120, 2.0**-120):
            result = cmc_map(query * scale, gallery * scale, ids, ids, distance=distance)
            np.testing.assert_array_equal(result.rank, expected.rank)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float64])
def test_other_floating_types_and_jax_arrays(dtype):
    random = np.random.default_rng(4)
    query, gallery = random.normal(size=(2, 12, 5)).astype(dtype)
    ids = np.arange(12) % 4
    expected = cmc_map(query.astype(np.float32), gallery.astype(np.float32), ids, ids)
    for place in (np.asarray, jnp.asarray):
        result = cmc_map(place(query), place(gallery), ids, ids)
        np.testing.assert_array_equal(result.rank, expected.rank)
        np.testing.assert_array_equal(result.average_precision, expected.average_precision)


def test_many_distractors_of_one_label_equal_the_oracle(mesh):
    random = np.random.default_rng(7)
    query, gallery = random.normal(size=(9, 6)), random.normal(size=(140, 6))
    qi, gi = np.arange(1, 10), np.append(np.zeros(100, int), random.integers(1, 10, 40))
    expected = rank_all(distances(query, gallery, "cosine"), qi, gi, np.ones((9, 140), bool))
    assert_equals_oracle(cmc_map(query, gallery, qi, gi, mesh=mesh), expected)


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("label", [0, 250, 1000])
def test_many_distractors_of_one_label_are_held_once(devices, label):
    identity = np.sort(np.append(np.full(500_000, label), np.repeat(np.arange(1, 501), 10)))
    partition = partition_gallery(identity, devices)
    on_device = partition.tiles * partition.rows
    assert on_device <= 2 * len(identity) / devices + 500_010 + counting.CHUNK


def test_one_identity_only():
    features = np.random.default_rng(5).normal(size=(40, 5))
    result = cmc_map(features[:10], features, np.full(10, 3), np.full(40, 3))
    assert (result.rank == 1).all() and (result.matches == 40).all()
    assert (result.average_precision == 1).all() and (result.inverse_negative_penalty == 1).all()


def test_a_duplicated_gallery_puts_every_copy_of_somebody_else_first():
    gallery = np.eye(3, dtype=np.float32)[[0, 0, 0, 1]]
    result = cmc_map(np.eye(3)[:1], gallery, [7], [7, 8, 9, 7])
    assert result.rank.tolist() == [3]
    assert result.average_precision.tolist() == [(1 / 3 + 2 / 4) / 2]


def test_progress_counts_all_queries():
    random = np.random.default_rng(6)
    features, message = random.normal(size=(50, 4)), []
    ids = random.integers(0, 5, 50)
    ids[:9] = 99
    cmc_map(
        features, features, ids, np.abs(ids % 99), block=16, progress=lambda *at: message.append(at)
    )
    assert message[-1] == (50, 50)
    assert len(message) > 1 and message == sorted(message)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_given_distances_that_are_not_finite_are_refused(bad):
    distance = np.ones((4, 3))
    distance[3, 1] = bad
    with pytest.raises(InputError, match="distances of queries 2 to 3"):
        score_distances([distance[:2], distance[2:]], [1] * 4, [1, 2, 3])


@pytest.mark.parametrize("blocks", [[np.ones((3, 3))], [np.ones((5, 3))], [np.ones((4, 2))], []])
def test_given_distances_of_other_sizes_are_refused(blocks):
    with pytest.raises(ValueError, match="4"):
        score_distances(blocks, [1] * 4, [1, 2, 3])


def test_given_distances_on_a_device_are_not_fetched(monkeypatch):
    count, given_ = cmc._count, []
    spy = lambda distance, *more: given_.append(distance) or count(distance, *more)  # noqa: E731
    monkeypatch.setattr(cmc, "_count", spy)
    scores = score_distances([jnp.array([[0.5, 0.25, 1.0]])], [1], [1, 2, 3])
    assert isinstance(given_[0], jax.Array)
    assert scores.rank.tolist() == [2]


MEASURE = """
from jreid.evaluation.ranking.cmc import cmc_map, memory

def run(Q, G, D=256, block=64):
    random = np.random.default_rng(0)
    query, gallery = (random.standard_normal((n, D), np.float32) for n in (Q, G))
    before = peak()
    cmc_map(query, gallery, random.integers(0, 900, Q), random.integers(0, 900, G), block=block)
    return peak() - before

run(200, 4000)
print(run(*map(int, sys.argv[1:])), memory(*map(int, sys.argv[1:]), 256, 64))
"""


@pytest.mark.fault("F22")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("Q", "G"), [(1_000, 40_000), (4_000, 100_000)])
def test_memory_stays_below_the_estimate(Q, G):
    taken, estimate = measured(MEASURE, Q, G)
    assert 4 * 256 * G < taken < estimate < 4 * Q * G


def test_labels_beyond_32_bits():
    features = np.eye(3, dtype=np.float32)
    ids = np.array([1, 1 + 2**32, 1 + 2**33])
    assert cmc_map(features, features, ids, ids).matches.tolist() == [1, 1, 1]
    places = cmc_map(features, features, [1, 1, 1], [1, 1, 1], ids, ids)
    assert places.matches.tolist() == [2, 2, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_features_that_are_not_finite_are_refused(bad):
    good = np.ones((4, 3))
    broken = good.copy()
    broken[2:, 1] = bad
    with pytest.raises(InputError, match=r"query .* in 2 of 4 images, the first of them row 2"):
        cmc_map(broken, good, np.arange(4), np.arange(4))
    with pytest.raises(InputError, match=r"gallery .* in 2 of 4 images, the first of them row 2"):
        cmc_map(good, broken, np.arange(4), np.arange(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.ones((3, 2), int)}, "query is int64"),
        ({"query": np.ones(3)}, "query is float64"),
        ({"query": np.ones((0, 2))}, "non-empty"),
        ({"gallery": np.ones((3, 4))}, "query has 2 dimensions, gallery 4"),
        ({"query_identities": [1, 2]}, "query_identities is"),
        ({"gallery_identities": [1.0, 2.0, 3.0]}, "gallery_identities is float64"),
        ({"query_groups": [1, 2, 3]}, "together"),
        ({"gallery": np.ones((0, 2))}, "non-empty"),
        ({"gallery": np.full((3, 2), "a")}, "gallery is <U1"),
        ({"gallery_identities": [1, 2, 3, 4]}, "gallery_identities is"),
        ({"query_groups": [1, 2], "gallery_groups": [1, 2, 3]}, "query_groups is"),
        ({"cmc": "identities"}, "cmc='identities'"),
        ({"distance": "l2"}, "distance='l2'"),
        ({"block": 0}, "block=0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {
        "query": np.ones((3, 2)),
        "gallery": np.ones((3, 2)),
        "query_identities": [1, 2, 3],
        "gallery_identities": [1, 2, 3],
    }
    with pytest.raises(ValueError, match=message):
        cmc_map(**(arguments | change))


def test_no_match_at_all_has_no_mean():
    features = np.eye(2)
    unmatched = cmc_map(features, features, [1, 2], [3, 4])
    assert unmatched.matches.tolist() == [0, 0]
    assert unmatched.rank.tolist() == [0, 0]
    with pytest.raises(InputError, match="None of the 2 queries"):
        mean_metrics(unmatched)


def test_queries_without_a_match_do_not_count():
    features = np.eye(2)
    metrics = mean_metrics(cmc_map(features, features, [1, 2], [1, 4]))
    assert metrics.valid_queries == 1
    assert metrics.cmc[1] == metrics.mean_average_precision == 1


def test_counting_by_chunks_and_at_once_are_the_same():
    random = np.random.default_rng(0)
    distance = random.integers(0, 20, (3 * counting.CHUNK, 5)).astype(np.float32)
    match = random.integers(0, 20, (4, 5)).astype(np.float32)
    counts = (distance[:, None] <= match).sum(axis=0)
    arrays = jnp.asarray(distance), jnp.asarray(match)
    np.testing.assert_array_equal(counting.count_by_chunks(*arrays), counts)
    np.testing.assert_array_equal(counting.count_at_once(*arrays), counts)


@pytest.mark.fault("A11")
def test_identities_of_mixed_types_are_compared_exactly():
    features = np.eye(3, dtype=np.float32)
    near = [2**62, 2**62 + 1, 2**62 + 2]  # one number in float64
    for types in ((np.int64, np.uint64), (np.uint64, np.int64)):
        query, gallery = (np.array(near, kind) for kind in types)
        for result in (
            cmc_map(features[:1], features, query[:1], gallery),
            score_distances([np.zeros((1, 3))], query[:1], gallery),
        ):
            assert result.matches.tolist() == [1]
        places = cmc_map(features[:1], features, [1], [1, 1, 1], query[:1], gallery)
        assert places.matches.tolist() == [2]


@pytest.mark.fault("A11")
@pytest.mark.parametrize(
    "identities", [[1.0], [2**63], [True], [2**64], np.array([1], np.float64), [None], ["1"]]
)
def test_identities_that_int64_cannot_hold_are_refused(identities):
    features = np.ones((1, 2), np.float32)
    for given_ in ((identities, [1]), ([1], identities)):
        with pytest.raises(ValueError, match=r"identities .* integers"):
            cmc_map(features, features, *given_)
        with pytest.raises(ValueError, match=r"identities .* integers"):
            score_distances([np.zeros((1, 1))], *given_)


@pytest.mark.fault("A11")
def test_junk_is_refused_and_not_taken_for_a_person():
    features = np.eye(3, dtype=np.float32)
    for role, given_ in (("query", ([-1, 1], [1, 2, 3])), ("gallery", ([1, 2], [1, -1, -1]))):
        with pytest.raises(InputError, match=f"{role}_identities holds -1 in"):
            cmc_map(features[:2], features, *given_)
        with pytest.raises(InputError, match=f"{role}_identities holds -1 in"):
            score_distances([np.zeros((2, 3))], *given_)
    assert cmc_map(features[:1], features, [-2], [-2, 0, 3]).rank.tolist() == [1]
