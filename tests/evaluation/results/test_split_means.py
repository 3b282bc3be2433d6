"""Means over RegDB's trials: of one rule, and marked as their runs are."""

import pytest

from jreid.errors import InputError
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.results.marks import marks
from jreid.evaluation.results.split_means import mean_over_splits


def result(trial, **fields):
    row = {
        "checkpoint": "last",
        "step": 9,
        "of_steps": 9,
        "weights": f"{trial}",
        "protocol": regdb(split_number=trial).stored(),
        "label": f"visible to infrared, trial {trial} of 10",
        "fingerprint": f"{trial}",
        "rerank": "none",
        "cmc": {"1": trial / 10},
        "mAP": trial / 10,
        "mINP": 0.5,
        "trials": 1,
        "of_trials": 10,
        "queries": 5,
        "valid_queries": 5,
        "partial": False,
        "skipped_images": 0,
        "fallback": False,
    }
    return {"rows": [row | fields]}


def test_equal_steps_are_kept_and_single_hashes_are_not():
    (row,) = mean_over_splits([result(1), result(3)])
    assert (row["step"], row["mAP"], row["trials"]) == (9, 0.2, 2)
    assert "weights" not in row
    assert marks(row) == []
    (row,) = mean_over_splits([result(1), result(3, step=8, of_steps=8)])
    assert "step" not in row


@pytest.mark.fault("A6", "A7")
@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"partial": True}, "partial"),
        ({"skipped_images": 2}, "2 training images skipped"),
        ({"other_data": True}, "other data"),
        ({"step": 3, "asked_step": 9, "fallback": True}, "a step is damaged"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_mark_of_one_trial_is_the_means(fields, mark, place):
    results = [result(1, asked_step=9), result(2, asked_step=9)]
    results[place]["rows"][0] |= fields
    (row,) = mean_over_splits(results)
    assert [message.replace("step 9", "a step") for message in marks(row)] == [mark]


@pytest.mark.fault("F30")
def test_trials_of_other_rules_have_no_mean():
    with pytest.raises(InputError, match="is in 1 of 2"):
        mean_over_splits([result(1), result(2, rerank="standard")])
