"""Steps that are profiled, and what a profile says of them."""

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.errors import InputError
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
    """The steps before which recording begins and after which it ends."""
    begun, ended = [], []
    profiler = Profiler(tmp_path / "profile", steps, first, STARTS)
    monkeypatch.setattr("jax.profiler.start_trace", lambda *_, **__: begun.append(step))
    monkeypatch.setattr("jax.profiler.stop_trace", lambda: ended.append(step))
    for step in range(first + 1, STARTS[-1] + 1):
        profiler.before(step)
        message = profiler.after(step, ())
        assert bool(message) == (ended == [step])
        assert message is None or message.startswith("no profile: ")  # as nothing was written
    return begun, ended


@pytest.mark.parametrize(
    ("steps", "first", "begin", "end"),
    [
        (20, 0, 11, 30),  # none of them ends an epoch but the last may
        (22, 8, 19, 40),
        (23, 8, 19, 41),  # no epoch has so many after its tenth
        (20, 15, 51, 70),  # the next epoch has
        (62, 0, 11, 72),
    ],
)
def test_steps_of_one_epoch_are_recorded(steps, first, begin, end, monkeypatch, tmp_path):
    assert recorded(steps, first, monkeypatch, tmp_path) == ([begin], [end])


def test_no_steps_record_nothing(monkeypatch, tmp_path):
    assert recorded(0, 0, monkeypatch, tmp_path) == ([], [])


@pytest.mark.parametrize(("steps", "message"), [(63, "72 are left"), (-1, "no number of steps")])
def test_steps_that_cannot_be_are_refused(steps, message, tmp_path):
    with pytest.raises(InputError, match=message):
        Profiler(tmp_path, steps, 0, STARTS)


def test_a_run_is_profiled(tiny_folder, prepared, tmp_path, capsys):
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    small = ["--config.protocols=sysu_mm01"]
    flags = ["train", f"--config={ROOT}/configs/agw.py:tiny", *places, *small, "--profile=4"]
    assert main([*flags, f"--workdir={tmp_path}/run"]) == 0
    message = next(line for line in capsys.readouterr().err.splitlines() if "profile of" in line)
    assert message.startswith(f"profile of steps {WARM_STEPS + 1} to {WARM_STEPS + 4}: ")
    assert "no computing in " in message
    (trace,) = (tmp_path / "run" / "profile").rglob("*.xplane.pb")
    assert 0 <= idle_share(computing(trace)[0]) < 1
