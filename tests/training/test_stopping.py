import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from jreid.training.stopping import StopRequests

WAIT = """
import time
from jreid.training import stopping
stopping.GRACE = {grace}
with stopping.StopRequests() as stop:
    print("listening", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_is_a_request(number, status, capsys):
    before = signal.getsignal(number)
    with StopRequests() as stop:
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


def test_the_second_interrupt_stops_at_once():
    status, told, seconds = stopped(30, signal.SIGINT, signal.SIGINT)
    assert status == 130
    assert "interrupted twice: the same command goes on from what is saved" in told
    assert seconds < 5


def test_a_step_that_does_not_end_is_not_waited_for():
    status, told, seconds = stopped(0.5, signal.SIGTERM)
    assert status == 143
    assert "no step ended in time" in told
    assert 0.5 <= seconds < 5
