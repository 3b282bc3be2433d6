"""Differences with their intervals, and the accuracy at the end of training."""

import numpy as np
import pytest

from experiments.accuracy import training_accuracy
from experiments.intervals import difference
from jreid.evaluation.results.bootstrap import difference_interval
from jreid.evaluation.results.identity_scores import IdentityScores, pack, unpack
from jreid.evaluation.results.measures import mean_and_deviation


def row(rank1, scores=True):
    """The row of a run in which this share of 40 people has its matches first."""
    first = np.zeros((1, 40), int)
    first[:, : round(40 * rank1)] = 20
    ones = np.ones((1, 40))
    packed = pack(IdentityScores(np.arange(40), 20 * ones, first, 10 * ones, 10 * ones))
    return {"cmc": {"1": rank1}, "mAP": 0.5, "protocol": {}, "scores": [packed] * scores}


def test_a_difference_has_the_bootstraps_interval():
    ours, base = [row(0.6), row(0.65), row(0.7)], [row(0.4), row(0.4)]
    sides = ([unpack(one["scores"][0]) for one in rows] for rows in (base, ours))
    expected = difference_interval(*sides)["R1"]
    assert expected.low > 0 and expected.value == pytest.approx(25)
    assert difference(ours, base, "R1") == f"+25.00 [{expected.low:+.2f}, {expected.high:+.2f}]"
    assert difference(ours, base, "mAP") == "+0.00 [+0.00, +0.00]"


def test_rows_of_different_protocols_have_no_difference():
    ours, base = [{**row(0.6), "fingerprint": "a"}], [{**row(0.4), "fingerprint": "b"}]
    assert difference(ours, base, "R1") == ""


def test_a_result_without_scores_has_no_interval():
    assert difference([row(0.6)], [row(0.4), row(0.45, scores=False)], "R1") == "+17.50"


def test_a_single_seed_has_no_deviation():
    assert (mean_and_deviation([5.0]), mean_and_deviation([])) == ("5.00", "")
    assert mean_and_deviation([5.0, 7.0]) == "6.00 ± 1.41"


def test_the_accuracy_is_that_of_the_last_epochs_steps(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert training_accuracy(file) is None
    file.write_text(
        '{"step": 20, "epoch": 0, "features/accuracy": 0.1}\n'
        '{"step": 20, "validation/rank1": 0.3}\n'
        '{"step": 30, "epoch": 1, "features/accuracy": 0.5}\n'
        '{"step": 60, "epoch": 1, "features/accuracy": 0.9}\n'
        '{"step": 60, "epo'
    )
    assert training_accuracy(file) == pytest.approx(80)
    file.write_text('{"step": 20, "epoch": 0, "model/loss": 0.1}\n')
    assert training_accuracy(file) is None
