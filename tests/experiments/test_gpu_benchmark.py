"""The benchmark of a GPU keeps its budget, and what fails is a row of its table."""

import gc
import json
import time

import jax
import pytest
from helpers import fake_parts

from experiments.benchmarks import gpu
from experiments.benchmarks.evaluation import methods as evaluation
from experiments.benchmarks.gpu_parts import (
    Part,
    Row,
    all_parts,
    evaluate,
    last_parts,
    rerank,
    train,
)
from jreid.evaluation import KINDS


def part(prepare, *arguments):
    return Part("training", prepare.__name__, prepare, arguments)


def run(*parts, ready_in=20.0, seconds=30.0):
    now = time.monotonic()
    return {row.name: row for row in gpu.run(parts, now + ready_in, now + seconds)}


def test_a_part_that_fails_or_crashes_is_a_row_and_not_the_end():
    rows = run(
        part(fake_parts.failing),
        part(fake_parts.crashing),
        part(fake_parts.crashing_later),
        part(fake_parts.fast, 0.25),
    )
    assert [*rows] == ["failing", "crashing", "crashing_later", "fast"]
    assert rows["failing"].note == "ValueError: cannot be compiled"
    assert rows["crashing"].note == "its process ended with status 7"
    assert rows["crashing_later"].note == "its process ended with status 7"
    assert rows["fast"].seconds == 0.25 and rows["fast"].note == ""


def test_parts_for_which_no_time_is_left_are_rows_too():
    start = time.monotonic()
    hanging = run(part(fake_parts.hanging), ready_in=0.2)["hanging"]
    assert hanging.note.startswith("not compiled after ")
    late = run(part(fake_parts.fast, 1.0), seconds=0)["fast"]
    assert late.note == "not measured: no time was left"
    slow = run(part(fake_parts.hanging_later), ready_in=1.5, seconds=1.5)["hanging_later"]
    assert slow.note.startswith("not ")
    assert run(part(fake_parts.fast, 1.0), ready_in=-1)["fast"].note == "skipped: no time was left"
    assert time.monotonic() - start < fake_parts.LONG


def test_the_table_has_ratios_to_peers_and_no_cell_that_breaks_it():
    rows = [
        Row("training", "ours", images_per_second=3710.4, compiled_in=50.0),
        Row("training", "theirs", images_per_second=2412.0),
        Row("training", "failed", note="Error: a | b"),
        Row("evaluation", "mine", seconds=0.5),
        Row("evaluation", "product", seconds=0.25),
    ]
    rows = gpu.with_ratios(rows, {"ours": "theirs", "failed": "theirs", "mine": "product"})
    assert [row.of_peer for row in rows] == [3710.4 / 2412.0, None, None, 0.5, None]
    lines = gpu.table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "3,710" in lines[2] and "a / b" in lines[4]


@pytest.mark.parametrize("tiny", [False, True])
def test_every_part_has_a_name_of_its_own_and_a_peer_that_is_measured(tiny):
    parts = [*all_parts(tiny), *last_parts(tiny)]
    names = [part.name for part in parts]
    assert len({*names}) == len(names)
    assert {part.peer for part in parts} <= {"", *names}
    known = {evaluate: evaluation.METHODS, rerank: KINDS}
    assert all(part.arguments[0] in known.get(part.prepare, part.arguments) for part in parts)


def test_a_text_that_is_in_no_part_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        gpu.main(["--tiny", "--only=abacus", f"--output={tmp_path}/gpu.json"])
    assert "--only=abacus is in no part" in capsys.readouterr().err


def device_bytes():
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays())


@pytest.mark.slow
def test_a_training_step_is_prepared_without_the_devices_memory():
    before = device_bytes()
    measure = train("agw:tiny,dtype=float32", {}, 1, 1)
    assert device_bytes() < before + 1000  # weights of losses and rates
    row = Row("training", "agw", **measure())
    assert row.images_per_second and row.compiled_in and row.tflops and row.memory


def test_a_part_of_the_tiny_table_is_measured_on_any_device(tmp_path, capsys):
    gpu.main(["--tiny", "--only=evaluation", f"--output={tmp_path}/gpu.json"])
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["tiny", "tiny, product"]
    assert all(row["seconds"] > 0 and not row["note"] for row in rows) and rows[0]["of_peer"]
    assert "| evaluation | tiny |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_tiny_table_is_measured_on_any_device(tmp_path):
    gpu.main(["--tiny", f"--output={tmp_path}/gpu.json"])
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["note"] for row in written["rows"]] == [""] * len(written["rows"])
    assert all(row["images_per_second"] or row["seconds"] for row in written["rows"])
