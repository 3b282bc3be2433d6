import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import distances, rank_all

from jreid.errors import InputError
from jreid.evaluation import cmc_map, mean_metrics, ranking

G = 20  # one padded gallery size, so that hypothesis compiles a handful of times


def integers(low, high, *shape):
    size = int(np.prod(shape))
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(
        lambda values: np.array(values).reshape(shape)
    )


@st.composite
def problems(draw):
    Q = draw(st.integers(1, 7))
    used = draw(st.integers(1, G))
    distance = draw(st.sampled_from(["cosine", "euclidean"]))
    if distance == "cosine":  # rows of norm 2 or 0: every cosine is exact in float32
        features = 2 * draw(integers(0, 1, Q + G, 4)) - 1
        features = features * draw(integers(0, 3, Q + G, 1)).clip(0, 1)
    else:
        features = draw(integers(-1, 2, Q + G, 2))
    return {
        "features": features.astype(np.float32),
        "identities": draw(integers(0, 4, Q + G)) - 2,
        "places": draw(integers(0, 2, Q + G)),
        "valid": np.isin(np.arange(G), draw(st.permutations(range(G)))[:used]),
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


@settings(max_examples=200, deadline=None)
@given(problems())
def test_ranks_equal_the_oracle(p):
    (query, gallery), (qi, gi), (qp, gp) = (
        (p[key][: p["Q"]], p[key][p["Q"] :]) for key in ("features", "identities", "places")
    )
    result = cmc_map(query, gallery, qi, gi, qp, gp, p["valid"], p["cmc"], p["distance"], block=4)
    kept = (qp[:, None] != gp) & p["valid"]
    distance = distances(query, gallery, p["distance"])
    assert_equals_oracle(result, rank_all(distance, qi, gi, kept, p["cmc"]))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_real_valued_features_equal_the_oracle_in_any_block(distance):
    random = np.random.default_rng(0)
    query = random.normal(size=(23, 6)).astype(np.float32)
    gallery = random.normal(size=(41, 6)).astype(np.float32)
    qi, gi = random.integers(0, 9, 23), random.integers(0, 9, 41)
    expected = rank_all(distances(query, gallery, distance), qi, gi, np.ones((23, 41), bool))
    for block in (1, 7, 23, 256):
        result = cmc_map(query, gallery, qi, gi, distance=distance, block=block)
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
def test_equal_rows_tie_wherever_they_lie(distance, monkeypatch):
    """Ten points, each given to many images of which one is a match: it is the last of them."""
    matmul = ranking.jnp.matmul

    def rounded_by_row(a, b, **options):
        noise = 1e-5 * np.sin(np.arange(len(a), dtype=np.float32))
        return matmul(a, b, **options) + noise[:, None]

    monkeypatch.setattr(ranking.jnp, "matmul", rounded_by_row)
    random = np.random.default_rng(1)
    points = random.normal(size=(10, 515)).astype(np.float32)
    of_point = random.permutation(np.repeat(np.arange(10), 60)[:-7])
    identities = np.arange(len(of_point)) + 1000
    for point in range(10):
        identities[random.choice(np.flatnonzero(of_point == point))] = point
    result = cmc_map(points, points[of_point], np.arange(10), identities, distance=distance)
    np.testing.assert_array_equal(result.rank, np.bincount(of_point))


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


def test_labels_beyond_32_bits():
    features = np.eye(3, dtype=np.float32)
    ids = np.array([1, 1 + 2**32, 1 + 2**33])
    assert cmc_map(features, features, ids, ids).matches.tolist() == [1, 1, 1]
    places = cmc_map(features, features, [1, 1, 1], [1, 1, 1], ids, ids)
    assert places.matches.tolist() == [2, 2, 2]


def test_galleries_of_one_padded_size_compile_once(monkeypatch):
    traces = []
    count_before = ranking._count_before
    monkeypatch.setattr(
        ranking, "_count_before", lambda *arrays: traces.append(1) or count_before(*arrays)
    )
    random = np.random.default_rng(3)
    query, gallery = random.normal(size=(5, 3)), random.normal(size=(50, 3))
    for used in (50, 44, 43):
        ids = np.arange(50) % 11
        cmc_map(query, gallery, ids[:5], ids, gallery_valid=np.arange(50) < used)
    assert len(traces) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_features_that_are_not_finite_are_refused(bad):
    good = np.ones((4, 3))
    broken = good.copy()
    broken[2:, 1] = bad
    with pytest.raises(InputError, match=r"query .* in 2 of 4 images, the first of them row 2"):
        cmc_map(broken, good, np.arange(4), np.arange(4))
    with pytest.raises(InputError, match=r"gallery .* in 2 of 4 images, the first of them row 2"):
        cmc_map(good, broken, np.arange(4), np.arange(4))
    padding = np.array([True, True, False, False])
    result = cmc_map(good, broken, np.arange(4), np.arange(4), gallery_valid=padding)
    assert result.matches.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.ones((3, 2), int)}, "query is int64"),
        ({"query": np.ones(3)}, "query is float64"),
        ({"query": np.ones((0, 2))}, "non-empty"),
        ({"gallery": np.ones((3, 4))}, "query has 2 dimensions, gallery 4"),
        ({"query_identities": [1, 2]}, "query_identities is"),
        ({"gallery_identities": [1.0, 2.0, 3.0]}, "gallery_identities is float64"),
        ({"query_places": [1, 2, 3]}, "together"),
        ({"gallery_valid": [False] * 3}, "at least one"),
        ({"gallery_valid": [1, 1, 1]}, "booleans"),
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
