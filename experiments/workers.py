"""Runs commands side by side, each on cores of its own."""

import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from jreid.errors import InputError, Stopped

log = logging.getLogger(__name__)
POLL = 0.1  # seconds


class Job(NamedTuple):
    """A command.

    Attributes:
        label: what it does, for the log.
        command: its words.
        output: the file of its standard output and error.
    """

    label: str
    command: Sequence[str]
    output: Path


def run_jobs(jobs: Sequence[Job], workers: int) -> list[Job]:
    """Runs all jobs, `workers` at a time, and returns those that failed.

    Several workers share the machine's cores evenly, and each of their processes stays on its own.
    After Ctrl-C or SIGTERM no job starts, and the signal goes on to the running ones.

    Raises:
        InputError: there are more workers than cores, or less than one.
        Stopped: after Ctrl-C or SIGTERM, when the running jobs have ended.
    """
    free = deque(_shares(workers))
    waiting, running, failed = deque(enumerate(jobs, 1)), {}, []
    with _signals() as received:
        passed_on = 0
        while running or (waiting and not received):
            while waiting and free and not received:
                number, job = waiting.popleft()
                log.info("run %d of %d: %s", number, len(jobs), job.label)
                cores = free.popleft()
                running[_start(job, cores)] = job, cores
            for number in received[passed_on:]:
                for process in running:
                    process.send_signal(number)
            passed_on = len(received)
            for process in [process for process in running if process.poll() is not None]:
                job, cores = running.pop(process)
                free.append(cores)
                if process.returncode:
                    failed.append(job)
            time.sleep(POLL)
        if received:
            raise Stopped(
                128 + received[0],
                "stopped; what the running jobs saved is kept; give the same command to continue",
            )
    return failed


def last_line(file: Path) -> str:
    """The last line of a job's output that is not empty."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _shares(workers: int) -> list[set[int] | None]:
    """The cores of each worker; None for a single worker, which may use all."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    most = len(cores) or 1
    if not 1 <= workers <= most:
        raise InputError(f"--workers={workers} does not fit {most} cores; give 1 to {most}.")
    return [None] if workers == 1 else [{*cores[i::workers]} for i in range(workers)]


def _start(job: Job, cores: set[int] | None) -> subprocess.Popen[bytes]:
    """Starts a job in a session of its own, so that the terminal's Ctrl-C does not reach it."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with job.output.open("w") as file, _pinned(cores):
        return subprocess.Popen(job.command, stdout=file, stderr=file, start_new_session=True)


@contextmanager
def _pinned(cores: set[int] | None) -> Iterator[None]:
    """Within this context, a process that this thread starts stays on these cores."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of the signals that have been received within this context."""
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
