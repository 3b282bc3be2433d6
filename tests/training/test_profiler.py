"""Steps that are profiled, and what a profile says of them."""

import numpy as np
import pytest
from helpers.command_line import tiny_flags

from jreid.__main__ import main
from jreid.errors import InputError
from jreid.training.observer import Step
from jreid.training.profiler import WARM_STEPS, Profiler, computing, idle_share

STARTS = np.array([0, 8, 40, 72])


@pytest.mark.parametrize(
    ("intervals", "share"),
    [
        ([(10, 20)], 0),
        ([(10, 20), (20, 30), (12, 15)], 0),
        ([(30, 40), (0, 10)], 0.5),
        ([(0, 30), (5, 6), (40, 50)], 0.2),
    ],
)
def test_the_idle_share_is_what_no_interval_covers(intervals, share):
    assert idle_share(intervals) == pytest.approx(share)


@pytest.mark.parametrize("intervals", [[], [(5, 5)]])
def test_no_time_has_no_share(intervals):
    with pytest.raises(ValueError, match="take no time"):
        idle_share(intervals)


def recorded(steps, first, monkeypatch, tmp_path):
    """What happens: begin and end of recording, and the steps, in order."""
    happened = []
    profiler = Profiler(tmp_path / "profile", steps, first, STARTS)
    monkeypatch.setattr("jax.profiler.start_trace", lambda *_, **__: happened.append("begin"))
    monkeypatch.setattr("jax.profiler.stop_trace", lambda: happened.append("end"))
    for number in range(first + 1, STARTS[-1] + 1):
        happened.append(number)
        step = Step(number, 0, number in STARTS, False, ())
        profiler.on_step(step)
        if step.ends_epoch:
            happened.append("epoch end")
            profiler.on_epoch_end(step)
    return happened


@pytest.mark.parametrize(
    ("steps", "first", "begin", "end"),
    [
        (20, 0, 10, 30),  # none of them ends an epoch but the last may
        (22, 8, 18, 40),
        (23, 8, 18, 41),  # no epoch has so many after its tenth
        (20, 15, 50, 70),  # the next epoch has
        (62, 0, 10, 72),
        (5, 30, 40, 45),  # from the first step of an epoch on
    ],
)
def test_steps_of_one_epoch_are_recorded(steps, first, begin, end, monkeypatch, tmp_path, caplog):
    happened = recorded(steps, first, monkeypatch, tmp_path)
    before = happened.index("begin") - 1
    assert happened[before - 1 if happened[before] == "epoch end" else before] == begin
    assert happened[before + 2] == begin + 1  # and no end of an epoch in between
    assert happened[happened.index("end") - 1] == end
    assert happened.count("begin") == happened.count("end") == 1
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("no profile: ")  # as nothing was written


def test_a_trace_whose_intervals_take_no_time_ends_no_training(monkeypatch, tmp_path, caplog):
    (tmp_path / "profile").mkdir()
    for name in ("perfetto_trace.json.gz", "host.xplane.pb"):
        (tmp_path / "profile" / name).touch()
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    monkeypatch.setattr("jreid.training.profiler.computing", lambda trace: [[(5, 5)]])
    recorded(5, 0, monkeypatch, tmp_path)
    (message,) = caplog.messages
    assert "the intervals take no time" in message


def test_no_steps_record_nothing(monkeypatch, tmp_path):
    assert not {"begin", "end"} & {*recorded(0, 0, monkeypatch, tmp_path)}


@pytest.mark.parametrize(
    ("steps", "first", "message"),
    [
        (63, 0, "only 72 steps left; give at most 62,"),
        (1, 62, "only 10 steps left; leave the flag out, or profile a new run"),
        (-1, 0, "is negative"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps, first, message, tmp_path):
    with pytest.raises(InputError, match=message):
        Profiler(tmp_path, steps, first, STARTS)


@pytest.mark.slow
def test_a_finished_run_is_not_profiled_in_silence(tiny_folder, prepared, tmp_path, capsys):
    train = ["train", *tiny_flags(tiny_folder, prepared), f"--workdir={tmp_path}/run"]
    train += ["--config.method=helpers.small_method", "--config.epochs=0"]
    assert main([*train, "--profile=4"]) == 2
    assert "only 0 steps left" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # before anything is written
    assert main(train) == 0
    for steps, message in ((4, "only 0 steps left"), (-1, "is negative")):
        assert main([*train, f"--profile={steps}"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_profiled(tiny_folder, prepared, tmp_path, capsys):
    flags = [*tiny_flags(tiny_folder, prepared), "--config.method=helpers.small_method"]
    assert main(["train", *flags, "--profile=4", f"--workdir={tmp_path}/run"]) == 0
    message = next(line for line in capsys.readouterr().err.splitlines() if "profile of" in line)
    assert message.startswith(f"profile of steps {WARM_STEPS + 1} to {WARM_STEPS + 4}: ")
    assert "device idle time " in message
    (trace,) = (tmp_path / "run" / "profile").rglob("*.xplane.pb")
    assert 0 <= idle_share(computing(trace)[0]) < 1
