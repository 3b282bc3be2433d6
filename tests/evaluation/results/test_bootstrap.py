"""Whether a difference is real: intervals that hold what they promise, and what a file keeps."""

import base64
import zlib

import numpy as np
import pytest

from jreid.errors import InputError
from jreid.evaluation.results.bootstrap import Interval, _sides, difference_interval
from jreid.evaluation.results.identity_scores import IdentityScores, pack, unpack


def run(precision, queries=1, identity=None):
    """A run whose identities have these mean average precisions `[T, P]`, and hits above 1/2."""
    precision = np.atleast_2d(precision)
    queries = np.broadcast_to(queries, precision.shape).astype(int)
    identity = np.arange(precision.shape[1]) if identity is None else identity
    hits = queries * (precision > 0.5)
    return IdentityScores(identity, queries, hits, queries * precision, queries * precision / 2)


def mean_precision(scores: IdentityScores) -> Interval:
    """The mean average precision of a run, as its difference from zero."""
    zero = scores._replace(average_precision=0 * scores.average_precision)
    return difference_interval([zero], [scores])["mAP"]


def beta(seed, *shape):
    return np.random.default_rng(seed).beta(2, 2, shape)


def test_a_file_keeps_the_scores():
    scores = run(beta(0, 10, 96), queries=np.arange(96) % 5, identity=np.arange(96) * 10**10 - 7)
    kept = unpack(pack(scores))
    for name, before, after in zip(scores._fields, scores, kept, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-6, err_msg=name)
        assert after.dtype == before.dtype
    assert len(str(pack(scores))) < 25_000


@pytest.mark.parametrize(
    "change",
    [
        {"trials": 2},
        {"trials": 0},
        {"trials": True},
        {"identities": 10**9},
        {"packed": "no base64"},
        {"packed": base64.b64encode(b"not compressed").decode()},
        {"packed": base64.b64encode(zlib.compress(bytes(10**7))).decode()},
        {"packed": None},
        {"packed": pack(run([[2.0, 0.5]]))["packed"]},  # an average precision above 1
        {"packed": pack(run([[np.nan, 0.5]]))["packed"]},
    ],
)
def test_scores_that_were_not_written_by_jreid(change):
    with pytest.raises(InputError, match="evaluate again"):
        unpack(pack(run([[0.5, 0.5]])) | change)


def test_the_value_is_the_mean_over_trials_of_the_mean_over_queries():
    scores = run([[1.0, 0.25], [0.5, 0.0]], queries=[[1, 3], [2, 0]])
    assert mean_precision(scores).value == pytest.approx(100 * ((1.75 / 4) + 0.5) / 2)


def test_an_interval_has_the_width_of_the_central_limit():
    precision = beta(1, 400)
    found = mean_precision(run(precision))
    expected = 100 * 2 * 1.96 * precision.std() / 20
    assert found.high - found.low == pytest.approx(expected, rel=0.06)
    assert found.low < found.value < found.high


def test_queries_of_one_person_are_drawn_together():
    """Ten queries an identity that are alike are not ten times as much evidence."""
    precision = beta(2, 100)
    one, ten = (mean_precision(run(precision, queries)) for queries in (1, 10))
    assert (one.low, one.high) == pytest.approx((ten.low, ten.high))


def test_sides_are_paired():
    """People differ much and the models little: only the difference within people counts."""
    precision = 0.8 * beta(3, 60)
    better = precision + 0.02 + 0.001 * beta(4, 60)
    found = difference_interval([run(precision)], [run(better)])["mAP"]
    alone = mean_precision(run(precision))
    assert found.holds and found.value == pytest.approx(2.05, abs=0.02)
    assert found.high - found.low < (alone.high - alone.low) / 50
    same = difference_interval([run(precision)], [run(precision)])["mAP"]
    assert (same.value, same.low, same.high, same.holds) == (0, 0, 0, False)
    back = difference_interval([run(better)], [run(precision)])["mAP"]
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low)) and back.holds


def test_chance_does_not_hold_and_what_is_large_does():
    a, b = beta(5, 10, 30), beta(6, 10, 30)
    assert not difference_interval([run(a)], [run(b)])["mAP"].holds
    assert difference_interval([run(0.2 * a)], [run(0.4 + 0.6 * b)])["mAP"].holds


def test_trials_are_drawn_too():
    """All people alike in a trial, and trials that differ: the interval is over the trials."""
    scores = run(np.repeat(beta(7, 10, 1), 50, axis=1))
    found = mean_precision(scores)
    assert found.high - found.low > 10
    one_trial = run(scores.average_precision[:1])
    alone = mean_precision(one_trial)
    assert alone.high - alone.low < 1e-9


def test_seeds_that_differ_widen_the_interval():
    precision = 0.5 * beta(8, 200)
    seeds = [run(precision + shift) for shift in (0.0, 0.1, 0.2)]
    others = [run(precision + shift) for shift in (0.11, 0.21, 0.01)]
    one = difference_interval(seeds[:1], others[:1])["mAP"]
    several = difference_interval(seeds, others)["mAP"]
    assert one.holds and not several.holds
    assert several.value == pytest.approx(1) and several.high - several.low > 10
    assert difference_interval(seeds, others[:1])["mAP"].value == pytest.approx(1)


@pytest.mark.parametrize("means", [(0.4, 0.6), (0.4, 0.45, 0.6)])
def test_few_seeds_vary_as_much_as_their_mean(means):
    """The variance of a mean: the sample variance, which divides by n - 1, by their number."""
    sides = [run([[0.5, 0.5]])], [run([[mean, mean]]) for mean in means]
    _, (_, sampled) = _sides(sides, splits=1, samples=20_000)
    assert sampled[:, 1].var() == pytest.approx(np.var(means, ddof=1) / len(means), rel=0.03)


def test_splits_have_their_own_people_and_belong_together():
    people = [np.arange(50) + 50 * split for split in range(3)]
    a = [run(0.5 * beta(split, 50), identity=people[split]) for split in range(3)]
    b = [run(one.average_precision + 0.05 * (1 + n), identity=people[n]) for n, one in enumerate(a)]
    found = difference_interval(a, b, splits=3)["mAP"]
    assert found.value == pytest.approx(10) and found.holds
    assert found.low == pytest.approx(5) and found.high == pytest.approx(15)
    with pytest.raises(InputError, match="same identities"):
        difference_interval(a, b)
    for others in (b[:2], b[::-1]):
        with pytest.raises(InputError, match="same identities"):
            difference_interval(a, others, splits=3)


def test_seeds_of_splits_are_drawn_too():
    """Two seeds of three splits a side: more seeds that differ widen the interval."""
    people = [np.arange(50) + 50 * split for split in range(3)]

    def runs(*shifts):
        return [
            run(0.5 * beta(split, 50) + shift, identity=people[split])
            for shift in shifts
            for split in range(3)
        ]

    found = difference_interval(runs(0.0, 0.2), runs(0.1, 0.3), splits=3)["mAP"]
    assert found.value == pytest.approx(10)
    assert (found.low, found.high) == pytest.approx((-10, 30))  # of the seeds alone
    one = difference_interval(runs(0.1), runs(0.1, 0.3), splits=3)["mAP"]
    assert (one.low, one.value, one.high) == pytest.approx((0, 10, 20))
    with pytest.raises(InputError, match="same identities"):
        difference_interval(runs(0.0, 0.2), runs(0.1, 0.3)[:5], splits=3)


def test_one_person_gives_no_interval():
    scores = run([[0.25, 0.5]], queries=[4, 0])
    with pytest.raises(InputError, match="one person"):
        difference_interval([scores], [run([[0.5, 0.5]], queries=[4, 0])])


def test_a_small_sample_without_a_match_in_a_trial_gives_numbers():
    scores = run([[1.0, 0.5], [0.25, 0.0]], queries=[[1, 0], [1, 1]])
    found = mean_precision(scores)
    assert np.isfinite(found).all()
