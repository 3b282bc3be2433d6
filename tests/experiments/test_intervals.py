"""Intervals of differences over seeds, beside scipy's; and the accuracy at the end of training."""

import pytest
from scipy.stats import ttest_ind

from experiments.accuracy import training_accuracy
from experiments.intervals import difference, mean_and_deviation, welch_half_width


def test_the_interval_is_welchs():
    a, b = [50.1, 53.2, 47.9], [44.0, 45.2, 40.9, 46.7]
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert 2 * welch_half_width(a, b) == pytest.approx(expected.high - expected.low)
    assert difference(a, b) == f"+6.20 [{expected.low:+.2f}, {expected.high:+.2f}]"


def test_one_seed_has_no_interval():
    assert difference([5.0], [7.0, 8.0]) == "-2.50"
    assert difference([5.0, 5.0], [7.0, 7.0]) == "-2.00 [-2.00, -2.00]"
    assert (mean_and_deviation([5.0]), mean_and_deviation([])) == ("5.00", "")


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
