"""From images on disk to a result file, stopped on the way and resumed."""

import json

import jax
import numpy as np
import pytest
from helpers.observed import Interrupt, train_observed
from helpers.paths import ROOT
from helpers.run_folder import metrics_of, rows_of, state_of

from jreid.__main__ import main


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return [
        f"--config={ROOT}/configs/agw.py:tiny",
        f"--config.data.folder={tiny_folder}",
        f"--config.data.prepared={prepared}",
        "--config.image.erase_probability=0.5",
        "--config.log_every_steps=3",
    ]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """A run that was not interrupted."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", "--no-report", *flags, "--workdir", str(workdir)]) == 0
    return workdir


@pytest.fixture(scope="module")
def resumed(flags, tmp_path_factory):
    """A run that was interrupted at the end of its second epoch, before that was saved."""
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    with pytest.raises(KeyboardInterrupt):
        train_observed(flags, workdir, Interrupt(2))
    assert not (workdir / "result.json").exists()
    assert main(["train", "--no-report", "--workdir", str(workdir)]) == 0
    return workdir


def test_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, resumed):
    ours, theirs = state_of(whole), state_of(resumed)
    assert ours.step == theirs.step > 0
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert metrics_of(whole) == metrics_of(resumed)
    assert rows_of(whole) == rows_of(resumed)


def test_result_holds_what_a_number_needs(whole):
    result = json.loads((whole / "result.json").read_text())
    assert result["seed"] == 0
    assert {"jax", "flax", "python"} <= {*result["versions"]}
    assert result["revision"] is None or len(result["revision"]) >= 40
    kinds = [
        (row["checkpoint"], row["protocol"]["search"], row["protocol"]["shots"], row["rerank"])
        for row in result["rows"]
    ]
    assert kinds == [
        (kind, search, shots, rerank)
        for kind in ("last", "best")
        for search in ("all", "indoor")
        for shots in (1, 10)
        for rerank in ("none", "standard(k1=5,k2=2,lambda=0.3)")
    ]
    for row in result["rows"]:
        assert not row["partial"]
        assert row["dataset"] == "tiny"
        assert row["trials"] == 10
        assert 0 < row["valid_queries"] <= row["queries"]
        assert 0 < row["mINP"] < 1
        assert 0 < row["mAP"] < 1
        assert list(row["cmc"]) == [str(rank) for rank in range(1, 21)]
    assert len({row["fingerprint"] for row in result["rows"]}) == 8


def test_evaluating_again_gives_the_same_rows(whole, capsys):
    before = json.loads((whole / "result.json").read_text())
    assert main(["evaluate", "--workdir", str(whole)]) == 0
    after = json.loads((whole / "result.json").read_text())
    assert before["rows"] == after["rows"]
    message = capsys.readouterr().out
    assert before["rows"][0]["fingerprint"] in message
    assert "result.json" in message


def test_a_finished_run_trains_no_further(whole, flags):
    before = metrics_of(whole)
    assert main(["train", "--no-report", *flags, "--workdir", str(whole)]) == 0
    assert metrics_of(whole) == before
