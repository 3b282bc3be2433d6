"""The order in which the loop calls its observers, which resuming relies on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.states import state_of

from jreid.errors import InputError, Stopped
from jreid.runs.checkpoints import Checkpoints
from jreid.training.checkpointer import Checkpointer
from jreid.training.log import MetricWriter
from jreid.training.loop import TIMED_STEPS, StepClock, take_steps
from jreid.training.monitor import FiniteCheck
from jreid.training.observer import Observer
from jreid.training.train import name_last_checkpoint

STARTS = np.array([0, 3, 5, 8])
EVERY = 2  # steps between means


class Recorder(Observer):
    """Notes each call: what, and of which step."""

    def __init__(self, calls, name=""):
        self.calls, self.name = calls, name

    def on_metrics(self, number, metrics):
        self.calls.append((f"{self.name}metrics", number))

    def on_step(self, step):
        self.calls.append((f"{self.name}step", step.number))

    def on_epoch_end(self, step):
        self.calls.append((f"{self.name}epoch end", step.number))


def losses(number):
    return {"loss": np.float32(number**2)}


def take(observers, first=0, last=8, stop_at=None, metrics_of=losses, unlogged=()):
    """Takes the steps after `first` until `last` of three small epochs."""

    def step(state, batch):
        assert batch == state.step
        return state_of(batch + 1), metrics_of(batch + 1)

    take_steps(
        lambda epoch: step,
        STARTS,
        state_of(first),
        range(first, last),
        observers,
        logs=lambda number, ends: ends or number % EVERY == 0,
        stops=lambda number: number == stop_at,
        unlogged=unlogged,
    )


def test_metrics_then_the_step_then_the_end_of_the_epoch_observer_by_observer():
    calls = []
    take([Recorder(calls, "a "), Recorder(calls, "b ")], last=4)
    a, b = calls[::2], calls[1::2]
    assert [(name.replace("b ", "a "), number) for name, number in b] == a
    assert a == [
        ("a step", 1),  # whose metrics come while the next step is computed
        ("a metrics", 1),
        ("a metrics", 2),
        ("a step", 2),
        ("a metrics", 3),
        ("a step", 3),
        ("a epoch end", 3),
        ("a metrics", 4),
        ("a step", 4),
    ]


@pytest.mark.parametrize("stop_at", [None, 1, 4])
def test_metrics_have_come_before_their_step_is_logged_or_saved(stop_at):
    calls, steps = [], []

    class Steps(Observer):
        def on_step(self, step):
            steps.append(step)

    take([Recorder(calls), Steps()], stop_at=stop_at)
    for step in steps:
        if step.means is not None or step.stops or step.ends_epoch:
            assert calls.index(("metrics", step.number)) < calls.index(("step", step.number))
    assert [step.number for step in steps if step.ends_epoch] == [3, 5, 8]
    assert [step.epoch for step in steps] == [0, 0, 0, 1, 1, 2, 2, 2]
    assert [step.number for step in steps if step.stops] == ([stop_at] if stop_at else [])


class Saves:
    """Checkpoints that are only noted, in the order of all that happens."""

    def __init__(self, calls):
        self.calls, self.latest, self.unlogged = calls, None, {}

    def save(self, state, score, unlogged):
        self.latest = int(state.step)
        self.unlogged[self.latest] = unlogged
        self.calls.append(("save", self.latest))

    def check(self):
        pass

    finish = check


def run(folder, calls, saves, first=0, **options):
    """Steps with the run's own check, log and checkpoints; `calls` get what happens."""
    cadence = SimpleNamespace(saves=lambda epochs: True)
    checkpointer = Checkpointer(saves, cadence, SimpleNamespace(status=143))
    with MetricWriter(folder, first) as writer:
        write = writer.write
        writer.write = lambda step, metrics: (calls.append(("log", step)), write(step, metrics))
        take([FiniteCheck(), Recorder(calls), writer, checkpointer], first, **options)


def lines(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line | {"images_per_second": 0} for line in found]


def test_what_is_saved_was_checked_and_logged_before(tmp_path):
    calls = []
    run(tmp_path, calls, Saves(calls))
    saved = [number for name, number in calls if name == "save"]
    assert saved == [3, 5, 8]
    for number in saved:
        order = [calls.index((name, number)) for name in ("metrics", "log", "save")]
        assert order == sorted(order)


@pytest.mark.parametrize("bad", [2, 3, 4])
def test_what_is_not_finite_is_neither_logged_nor_saved(tmp_path, bad):
    def metrics_of(number):
        return {"loss": np.float32("nan" if number == bad else 1)}

    calls = []
    with pytest.raises(InputError, match=f"step {bad} because loss is nan"):
        run(tmp_path, calls, Saves(calls), metrics_of=metrics_of)
    assert not [call for call in calls if call[0] in ("log", "save") and call[1] >= bad]


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 7])
def test_a_run_that_goes_on_writes_the_lines_of_one_that_was_not_stopped(tmp_path, stop_at):
    run(tmp_path / "whole", [], Saves([]))
    saves = Saves([])
    with pytest.raises(Stopped, match=f"step {stop_at};"):
        run(tmp_path / "stopped", [], saves, stop_at=stop_at)
    unlogged = saves.unlogged[stop_at]
    run(tmp_path / "stopped", [], saves, first=stop_at, unlogged=unlogged)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


@pytest.mark.parametrize("step", [None, 3])
def test_errors_that_leave_the_loop_name_the_last_good_checkpoint(tmp_path, step):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        if step:
            checkpoints.save(state_of(step))
        with pytest.raises(InputError) as error, name_last_checkpoint(checkpoints):
            raise InputError("training stopped; do this.")
    good = f"the last good checkpoint is step {step} in" if step else "no good checkpoint in"
    assert str(error.value).startswith("training stopped; do this; ")
    assert f"{good} {tmp_path / 'c'}." in str(error.value)


def test_speed_leaves_out_the_first_step_and_pauses(monkeypatch):
    clock = iter([100.0, 101.0, 103.0, 500.0, 501.0])  # compiled by 100 s; a pause before 500 s
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    steps = StepClock(64)
    assert steps.images_per_second == 0
    for _ in range(3):
        steps.tick()
    steps.pause()
    steps.tick()
    steps.tick()
    assert steps.images_per_second == pytest.approx(64 * 3 / 4)


def test_speed_is_that_of_the_newest_steps(monkeypatch):
    clock = iter([*range(0, 1000, 10), *range(1000, 1000 + 2 * TIMED_STEPS, 2)])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    steps = StepClock(64)
    for _ in range(100 + TIMED_STEPS):
        steps.tick()
    assert steps.images_per_second == pytest.approx(64 / 2, rel=0.05)
