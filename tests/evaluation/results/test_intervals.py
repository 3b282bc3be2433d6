"""`jreid evaluate --compare` says whether a difference is more than chance."""

import json

import numpy as np
import pytest
from helpers.oracle import make_index, make_table

from jreid.__main__ import main
from jreid.errors import InputError
from jreid.evaluation import evaluate
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.results.identity_scores import IdentityScores, pack, unpack
from jreid.evaluation.results.intervals import compare_intervals, lines, mean_of_runs
from jreid.evaluation.results.split_means import mean_over_splits

COUNTS = {(camera, identity): 2 for camera in (1, 3, 4, 6) for identity in range(1, 13)}
TABLE, INDEX = make_table(COUNTS), make_index(COUNTS)


def result(noise, seed=0, shots=1, **fields):
    random = np.random.default_rng(seed)
    centers = random.normal(size=(13, 8))[TABLE.identity]
    features = (centers + noise * random.normal(size=centers.shape)).astype(np.float32)
    row = evaluate(features, TABLE, INDEX, sysu_mm01(shots=shots, trials=3))
    row["checkpoint"] = "last"
    return {"method": "agw", "seed": seed, "extraction": {"flip": False}, "rows": [row]} | fields


GOOD, BAD = result(0.3), result(2.0)


@pytest.fixture
def files(tmp_path):
    def written(**results):
        for name, content in results.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return [str(tmp_path / f"{name}.json") for name in results]

    return written


def test_the_scores_of_a_row_give_its_metrics():
    (row,) = BAD["rows"]
    scores = unpack(row["scores"][0])
    assert scores.queries.sum(axis=1).min() == row["valid_queries"]
    for name, part in (
        ("mAP", scores.average_precision),
        ("mINP", scores.inverse_negative_penalty),
    ):
        assert (part.sum(axis=1) / scores.queries.sum(axis=1)).mean() == pytest.approx(row[name])
    first = (scores.first_hits.sum(axis=1) / scores.queries.sum(axis=1)).mean()
    assert first == pytest.approx(row["cmc"]["1"])


def test_a_large_difference_holds(files, capsys):
    assert main(["evaluate", "--compare", *files(bad=BAD, good=GOOD)]) == 0
    out = capsys.readouterr().out
    difference = 100 * (GOOD["rows"][0]["mAP"] - BAD["rows"][0]["mAP"])
    assert f"mAP   {difference:+7.2f}" in out and "holds" in out
    assert "people and trials" in out and "other seeds" in out


def test_a_model_does_not_differ_from_itself():
    (row,) = compare_intervals(GOOD, GOOD, ("a", "b"))
    assert not any(interval.holds for interval in row["difference"].values())
    assert "may be chance" in "\n".join(lines([row]))


def test_several_seeds_on_a_side(files, capsys):
    seeds = files(a=result(1.5, 1), b=result(1.5, 2), c=result(0.2, 3), d=result(0.2, 4))
    assert main(["evaluate", "--compare", ",".join(seeds[:2]), ",".join(seeds[2:])]) == 0
    out = capsys.readouterr().out
    assert "(agw, seeds 1, 2)" in out and "(agw, seeds 3, 4)" in out
    assert "people, trials and runs" in out and "other seeds" not in out
    assert main(["evaluate", "--compare", seeds[0], ",".join(seeds[2:])]) == 0
    out = capsys.readouterr().out
    assert "people, trials and runs" in out and "One side has one seed" in out


def of_splits(noise, seed):
    """A mean over two splits, as `train --trials` writes it."""
    results = [json.loads(json.dumps(result(noise, 10 * seed + split))) for split in (1, 2)]
    for split, one in enumerate(results, 1):
        one["rows"][0]["protocol"]["trial"] = split
        one["rows"][0]["fingerprint"] = f"split {split}"
    return {**results[0], "seed": seed, "rows": mean_over_splits(results), "trials": [1, 2]}


def test_seeds_of_regdbs_splits_have_an_interval(files, capsys):
    seeds = files(**{f"s{n}": of_splits(noise, n) for n, noise in enumerate((2, 2, 0.3, 0.3))})
    assert main(["evaluate", "--compare", ",".join(seeds[:2]), ",".join(seeds[2:])]) == 0
    out = capsys.readouterr().out
    assert out.count("holds") >= 2 and "lacks" not in out
    assert "people, trials, splits and runs" in out and "other seeds" not in out
    assert "(agw, seeds 0, 1, splits 1, 2)" in out
    assert main(["evaluate", "--compare", seeds[0], seeds[2]]) == 0
    out = capsys.readouterr().out
    assert "over people, trials and splits." in out and "how other seeds would differ" in out
    lacking = of_splits(2, 7)
    lacking["rows"][0]["scores"].pop()
    assert main(["evaluate", "--compare", *files(lacking=lacking), seeds[0]]) == 2
    assert "lacking.json" in (err := capsys.readouterr().err) and "1 runs" in err


def test_one_person_gives_no_interval(files, capsys):
    alone = json.loads(json.dumps(GOOD))
    scores = unpack(alone["rows"][0]["scores"][0])
    only = scores.identity == 1
    sums = [np.where(only, part, 0) for part in scores[1:]]
    alone["rows"][0]["scores"] = [pack(IdentityScores(scores.identity, *sums))]
    assert main(["evaluate", "--compare", *files(a=alone, b=alone)]) == 0
    out = capsys.readouterr().out
    assert "no 95 % interval" in out and "one person" in out
    assert "holds" not in out and "may be chance" not in out


def test_a_run_counts_once_in_a_mean():
    one, two = result(0.3, 1), result(0.3, 2)
    with pytest.raises(InputError, match="have the seeds 1, 2, 2"):
        mean_of_runs([one, two, two], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (result(0.3, 0), "have the seeds 0, 0"),
        (result(0.3, None), "have the seeds 0, None"),
        (result(0.3, 1, method="idkl"), "different method"),
        (result(0.3, 1, extraction={"flip": True}), "extracted differently"),
        (result(0.3, 1, shots=10), "same protocols"),
    ],
)
def test_results_that_are_not_seeds_of_one_method(other, message):
    with pytest.raises(InputError, match=message):
        mean_of_runs([GOOD, other], ["a.json", "b.json"])


def test_an_older_result_is_compared_without_an_interval(files, capsys):
    old = json.loads(json.dumps(BAD))
    del old["rows"][0]["scores"]
    assert main(["evaluate", "--compare", *files(old=old, good=GOOD)]) == 0
    out = capsys.readouterr().out
    assert "old.json" in out and "evaluate again" in out and "good.json: this" not in out
    assert f"{100 * GOOD['rows'][0]['mAP']:.2f}" in out


def test_scores_of_another_program_are_named(files, capsys):
    spoiled = json.loads(json.dumps(BAD))
    spoiled["rows"][0]["scores"][0]["packed"] = "?"
    assert main(["evaluate", "--compare", *files(spoiled=spoiled, good=GOOD)]) == 2
    assert "spoiled.json" in capsys.readouterr().err
    spoiled["rows"][0]["scores"] = 7
    assert main(["evaluate", "--compare", *files(spoiled=spoiled, good=GOOD)]) == 2


def test_results_of_different_protocols_are_refused(files, capsys):
    assert main(["evaluate", "--compare", *files(one=GOOD, ten=result(0.3, shots=10))]) == 2
    assert "differ in shots: 1, 10" in capsys.readouterr().err


def test_a_folder_stands_for_its_result(files, tmp_path):
    files(result=GOOD)
    assert main(["evaluate", "--compare", str(tmp_path), str(tmp_path)]) == 0
