"""Several processes of one command on this machine, none of which outlives the test."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from helpers.paths import ROOT

DEVICES = 2  # of each process


class Done(NamedTuple):
    """A process that has ended."""

    status: int
    out: str
    err: str


def together(*command: object, processes: int = 2, timeout: float = 550) -> list[Done]:
    """Runs a Python command in several processes that join each other; what became of each."""
    with started(*command, processes=processes) as running:
        return ended(running, timeout)


def free_port() -> int:
    """A port that nobody listens at, so that tests that run at once do not meet."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@contextmanager
def started(*command: object, processes: int = 2) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes while they run; killed on the way out."""
    flags = [f"--coordinator=localhost:{free_port()}", f"--processes={processes}"]
    running = [
        subprocess.Popen(
            [sys.executable, *map(str, command), *flags, f"--process-id={number}"],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def ended(running: Sequence[subprocess.Popen[str]], timeout: float) -> list[Done]:
    """What became of each process; TimeoutExpired where they do not end."""
    until = time.monotonic() + timeout
    done = []
    for process in running:
        out, err = process.communicate(timeout=max(1, until - time.monotonic()))
        done.append(Done(process.returncode, out, err))
    return done


def environment() -> dict[str, str]:
    """A process's environment: two fake devices, and this clone's code."""
    return {
        **os.environ,
        "JAX_NUM_CPU_DEVICES": str(DEVICES),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
