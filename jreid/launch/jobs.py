"""Commands that are run side by side, and how those that failed are reported."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from jreid.errors import InputError

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A command.

    Attributes:
        label: what it does, for the log.
        command: its words.
        output: the file of its standard output and error.
    """

    label: str
    command: tuple[str, ...]
    output: Path


def training_job(label: str, config: str, workdir: Path, flags: Sequence[str]) -> Job:
    """The training of one run by a process of its own.

    Args:
        label: of the job.
        config: its name and argument, or the path of a file.
        workdir: the run's folder; the output is beside it, in a file with the suffix `.log`.
        flags: other flags of `jreid train`.
    """
    run = f"--config={config}", f"--workdir={workdir}"
    command = sys.executable, "-m", "jreid", "train", *run, *flags
    return Job(label, command, Path(f"{workdir}.log"))


class Failure(NamedTuple):
    """A job that failed, and the line that says why."""

    job: Job
    cause: str


# Runs jobs, waits for them, and returns those that failed.
Launch = Callable[[Sequence[Job]], list[Failure]]


def require_success(failures: Sequence[Failure], jobs: Sequence[Job]) -> None:
    """Raises InputError if jobs failed, and logs the cause of each."""
    log_causes(failures)
    if failures:
        raise InputError(
            f"{len(failures)} of {len(jobs)} runs failed; see "
            f"{' '.join(str(job.output) for job, _ in failures)}, and give the same command again."
        )


def log_causes(failures: Sequence[Failure]) -> None:
    """Logs why each job failed."""
    for job, cause in failures:
        log.error("%s failed: %s", job.label, cause)


def cause_of(job: Job, status: int, start: int = 0) -> str:
    """Why a job failed: its last line, and the signal that killed its process.

    Args:
        status: of its process, as `subprocess` returns it.
        start: where this process's part of the output begins, in bytes; an earlier one's is before.
    """
    line = last_line(job.output, start)
    if status >= 0:
        return line
    names = {one.value: one.name for one in signal.Signals}  # not all real-time signals have one
    return f"{line} (killed by {names.get(-status, f'signal {-status}')})"


def last_line(file: Path, start: int = 0) -> str:
    """The last line of a job's output, from its byte `start` on, that is not empty."""
    if not file.is_file():
        return "no output"
    lines = file.read_bytes()[start:].decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


@contextmanager
def received_signals() -> Iterator[list[int]]:
    """The numbers of the signals to stop that have been received within this context.

    They are SIGINT, SIGTERM, and SIGHUP unless it is ignored, as after `nohup`.
    """
    received: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    handlers = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in numbers
    }
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
