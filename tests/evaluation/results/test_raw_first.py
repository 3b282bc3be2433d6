"""Raw rows are kept, in the file too, whatever becomes of re-ranking."""

import json

import jax
import numpy as np
import pytest
from helpers.features import arrays_of
from helpers.oracle import make_table

from jreid.__main__ import main
from jreid.engine.out_of_memory import explain_out_of_memory
from jreid.errors import InputError
from jreid.evaluation import Rerank, Wanted, evaluate, raw_first
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01

RAW, STANDARD, QUERY_ONLY = (
    Wanted(0, sysu_mm01(), rerank) for rerank in (None, Rerank(), Rerank("query_only"))
)


def test_raw_rows_come_before_re_ranking_begins():
    made = []

    def row(one):
        made.append(one)
        return {"rerank": one.rerank}

    stages = raw_first([STANDARD, RAW], row)
    assert next(stages).rows == {RAW: {"rerank": None}}
    assert made == [RAW]
    (whole,) = stages
    assert whole.rows == {one: {"rerank": one.rerank} for one in (RAW, STANDARD)}
    assert not whole.missing
    assert [len(stage.rows) for stage in raw_first([RAW], row)] == [1]


@pytest.mark.fault("B1")
def test_a_re_ranking_that_fails_costs_no_other_row():
    def row(one):
        if one == STANDARD:
            raise InputError("no memory")
        return {}

    *_, (rows, missing) = raw_first([RAW, STANDARD, QUERY_ONLY], row)
    assert [*rows] == [RAW, QUERY_ONLY]
    assert missing == ["no memory"]
    with pytest.raises(InputError, match="no memory"):
        [*raw_first([STANDARD], row)]


FULL = [
    MemoryError("Unable to allocate 9 GiB"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 GiB"),
    InputError("too few images; choose a smaller k1."),
]


@pytest.mark.fault("B1")
@pytest.mark.parametrize("error", FULL)
def test_features_raw_rows_are_written_and_shown(error, tmp_path, monkeypatch, capsys):
    table = make_table({(camera, identity): 3 for camera in range(1, 7) for identity in (6, 10)})
    features = np.random.default_rng(0).normal(size=(len(table.name), 4))
    np.savez(tmp_path / "f.npz", **arrays_of(table, features))
    output = tmp_path / "result.json"
    at_failure = []

    def fails(*arguments, **options):
        if arguments[4] is None:
            return evaluate(*arguments, **options)
        at_failure.append(output.is_file())
        raise error

    monkeypatch.setattr("jreid.evaluation.evaluate", fails)
    flags = [f"--features={tmp_path / 'f.npz'}", f"--output={output}", "--rerank=standard,none"]
    flags += ["--protocol=sysu_mm01:sampling=seeded,trials=1", "--dataset=mine"]
    assert main(["evaluate", *flags]) == 2
    assert at_failure == [True]
    out, err = capsys.readouterr()
    (row,) = json.loads(output.read_text())["rows"]
    assert row["rerank"] == "none"
    assert row["fingerprint"] in out
    assert "the result lacks re-ranked rows" in err
    assert str(error).partition(": ")[2] in err
    assert len(json.loads(output.read_text())["missing"]) == 1


@pytest.mark.fault("B1")
def test_memory_of_the_machine_is_named():
    with (
        pytest.raises(InputError, match=r"a thing does not fit .* \(9 GiB\); take less"),
        explain_out_of_memory("a thing", "take less"),
    ):
        raise MemoryError("9 GiB")
