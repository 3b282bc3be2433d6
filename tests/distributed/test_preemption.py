import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.paths import ROOT

from jreid.distributed import preemption
from jreid.distributed.preemption import Interrupted, StopSignals

WAIT = """
import time
from jreid.distributed import preemption as stopping
stopping.GRACE = {grace}
with stopping.StopSignals() as stop:
    print("listening", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_is_a_request(number, status, capsys):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert not stop.after(1)
        os.kill(os.getpid(), number)
        until = time.monotonic() + 10
        while not stop.after(2) and time.monotonic() < until:
            time.sleep(0.01)
        assert stop.after(3)
        assert stop.status == status
    assert signal.getsignal(number) is before
    assert "stopping after this step" in capsys.readouterr().err


def stopped(grace, *signals):
    """Status and standard error of a process whose step does not end, and the seconds it took."""
    command = [sys.executable, "-c", WAIT.format(grace=grace)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "listening\n"
        start = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.2)
        status = process.wait(timeout=20)
        return status, process.stderr.read(), time.monotonic() - start


TWICE = """
import os, signal, sys
import jax
from jreid.distributed.preemption import StopSignals
jax.process_count = lambda: 2
signal.signal(signal.SIGTERM, lambda *_: None)  # as JAX does it in C
for _ in range(2):
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
        print("alive", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_second_training_of_several_processes_has_jaxs_handler_again():
    command = [sys.executable, "-c", TWICE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "alive\nalive\n"), done.stderr


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("jreid.distributed.preemption.time.monotonic", lambda: self.now)


@pytest.mark.fault("B9")
def test_the_grace_follows_the_slowest_recent_step(monkeypatch):
    clock, stop = Clock(monkeypatch), StopSignals()
    assert stop.grace == preemption.GRACE  # before any step: while one is compiled
    for step in range(3):
        stop.after(step)
        clock.now += 1
    assert stop.grace == preemption.GRACE
    clock.now += 59
    stop.after(3)
    assert stop.grace == 3 * 60
    with stop.interrupting():
        clock.now += 1000  # scoring is no step
    for step in range(4, 4 + preemption.RECENT + 1):
        stop.after(step)
        clock.now += 5
    assert stop.grace == 3 * 5
    assert StopSignals(grace=120.0).grace == 120


@pytest.mark.fault("B9")
def test_a_request_ends_what_may_be_interrupted():
    done = []
    with StopSignals() as stop:
        with pytest.raises(Interrupted), stop.interrupting():
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                time.sleep(0.01)
            done.append("to its end")
        with pytest.raises(Interrupted), stop.interrupting():
            done.append("begun after the request")
    assert not done


@pytest.mark.fault("B9")
def test_what_is_being_saved_is_waited_for():
    code = WAIT.format(grace=0.1).replace(
        "StopSignals()",
        "StopSignals(wait_for_save=lambda: (time.sleep(0.5), print('saved', flush=True)))",
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "listening\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "saved\n")
    assert "no step ended in 0 s" in err


def test_the_second_interrupt_stops_at_once():
    status, message, seconds = stopped(30, signal.SIGINT, signal.SIGINT)
    assert status == 130
    assert (
        "interrupted twice: give the same command again to resume from the last checkpoint"
        in message
    )
    assert seconds < 5


def test_a_step_that_does_not_end_is_not_waited_for():
    status, message, seconds = stopped(0.5, signal.SIGTERM)
    assert status == 143
    assert "no step ended in 0 s" in message
    assert 0.5 <= seconds < 5
