"""Means over RegDB's trials and over seeds: of one rule, and marked as their runs are."""

import io

import numpy as np
import pytest
from rich.console import Console

from jreid.errors import InputError
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.results.marks import marks
from jreid.evaluation.results.split_means import mean_over_seeds, mean_over_splits
from jreid.evaluation.results.tables import format_results, format_table


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
        ({"step": 3, "of_steps": 7}, "stopped before step 7"),
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


def test_a_mean_over_splits_of_a_mixed_gallery_counts_splits_and_not_draws():
    shares = {"share": 0.3, "cross_modality_mAP": None, "confusion": {"mean": 0.5, "std": 0.1}}
    fields = {"trials": 5, "of_trials": 5, "mixed": shares}
    (row,) = mean_over_splits([result(1, **fields), result(2, **fields)])
    assert (row["trials"], row["of_trials"]) == (2, 10)
    assert row["mixed"] == shares | {"confusion": {"mean": 0.5, "std": 0.0}}
    console = Console(width=200, file=io.StringIO())
    console.print(format_results("agw", [row]))
    assert "deviation over 2 of 10 splits" in console.file.getvalue()


def of_seed(mean_precision, **fields):
    cmc = dict.fromkeys(("1", "5", "10", "20"), mean_precision)
    row = {"mAP": mean_precision, "cmc": cmc, "images": "a", "of_trials": 1}
    return result(1, **row, **fields)


def test_seeds_have_a_mean_and_a_deviation_under_one_fingerprint():
    results = [of_seed(0.2, weights="x"), of_seed(0.4, weights="y"), of_seed(0.6, weights="z")]
    (row,) = mean_over_seeds(results)
    assert row["mAP"] == pytest.approx(0.4) and row["cmc"]["1"] == pytest.approx(0.4)
    assert row["std"]["mAP"] == pytest.approx(np.std([0.2, 0.4, 0.6], ddof=1))
    assert (row["of_seeds"], row["fingerprint"], row["images"]) == (3, "1", "a")
    assert row["label"] == "visible to infrared, trial 1 of 10"
    assert "weights" not in row
    console = Console(width=200, file=io.StringIO())
    console.print(format_table([row]))
    assert "40.00±20.00" in console.file.getvalue()


def test_a_mark_of_one_seed_is_the_means():
    results = [of_seed(0.2, skipped_images=2), of_seed(0.4, partial=True, skipped_images=2)]
    (row,) = mean_over_seeds(results)
    assert marks(row) == ["partial", "2 training images skipped"]


def test_seeds_on_other_images_have_no_mean():
    with pytest.raises(InputError, match="is in 1 of 2"):
        mean_over_seeds([of_seed(0.2), of_seed(0.4, fingerprint="other")])
    first, other = of_seed(0.2), of_seed(0.4)
    other["rows"][0]["images"] = "b"
    with pytest.raises(InputError, match="different images under the same names"):
        mean_over_seeds([first, other])
