"""Runs commands side by side on this machine, each on cores and GPUs of its own."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jreid.errors import InputError, Stopped
from jreid.launch.jobs import Failure, Job, cause_of, log_causes, received_signals
from jreid.process import cores

log = logging.getLogger(__name__)
POLL = 0.1  # seconds
MEMORY_OF_CARD = 0.75  # JAX's own default
FRACTION, OLD_FRACTION = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"


class Share(NamedTuple):
    """A worker's part of the machine.

    Attributes:
        cores: that its processes stay on; None for all.
        variables: of its environment, in addition to this process's.
    """

    cores: frozenset[int] | None = None
    variables: Mapping[str, str] = {}


def run_jobs(
    jobs: Sequence[Job], workers: int = 1, environment: Mapping[str, str] | None = None
) -> list[Failure]:
    """Runs all jobs, `workers` at a time, and returns those that failed.

    Several workers share the machine's cores and GPUs evenly, and each of their processes stays on
    its own. After Ctrl-C, SIGTERM or SIGHUP no job starts, and the running ones are asked to save
    and end. A job that cannot be started is one that failed.

    Args:
        environment: the variables of every job; None for those of this process.

    Raises:
        InputError: there are more workers than cores, or less than one.
        Stopped: after such a signal, when the running jobs have ended.
    """
    free = deque(shares(workers))
    environment = {**os.environ} if environment is None else environment
    waiting, running, failed = deque(enumerate(jobs, 1)), {}, []
    with received_signals() as received:
        passed_on = 0
        while running or (waiting and not received):
            while waiting and free and not received:
                number, job = waiting.popleft()
                log.info("run %d of %d: %s", number, len(jobs), job.label)
                try:
                    process, start = _start(job, free[0], environment)
                except OSError as error:
                    failed.append(Failure(job, f"it cannot be started ({error})"))
                else:
                    running[process] = job, free.popleft(), start
            while passed_on < len(received):  # a signal may arrive at any moment
                number = received[passed_on]
                for process in running:  # a run saves at SIGINT and SIGTERM
                    process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)
                passed_on += 1
            for process in [process for process in running if process.poll() is not None]:
                job, share, start = running.pop(process)
                free.append(share)
                if process.returncode and not received:
                    failed.append(Failure(job, cause_of(job, process.returncode, start)))
            time.sleep(POLL)
        if received:
            log_causes(failed)
            raise Stopped(
                128 + received[0],
                "stopped; what the running jobs saved is kept; give the same command to continue",
            )
    return failed


def shares(workers: int) -> list[Share]:
    """The share of each worker; a single worker has the whole machine.

    Workers on one GPU divide the fraction of its memory that JAX would take: otherwise the first
    process takes three quarters of the card, and the second one fails.
    """
    all_cores = sorted(cores())
    most = len(all_cores)
    if not 1 <= workers <= most:
        raise InputError(f"--workers={workers} does not fit {most} cores; give 1 to {most}.")
    if workers == 1:
        return [Share()]
    gpus = _gpus()
    return [
        Share(frozenset(all_cores[i::workers]), _of_gpus(gpus, i, workers)) for i in range(workers)
    ]


def _of_gpus(gpus: Sequence[str], worker: int, workers: int) -> dict[str, str]:
    if not gpus:
        return {}
    if workers <= len(gpus):
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[worker::workers])}
    card = worker % len(gpus)
    on_card = len(range(card, workers, len(gpus)))
    given = os.environ.get(FRACTION) or os.environ.get(OLD_FRACTION) or str(MEMORY_OF_CARD)
    try:
        each = float(given) / on_card
    except ValueError as error:
        raise InputError(
            f"{FRACTION}={given} is not a number; give a fraction of a card's memory, such as 0.9."
        ) from error
    return {"CUDA_VISIBLE_DEVICES": gpus[card], FRACTION: f"{each:.3f}"}


def _gpus() -> list[str]:
    """The names of the NVIDIA GPUs that CUDA_VISIBLE_DEVICES allows; JAX is not started for it."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return [] if done.returncode else done.stdout.split()


def _start(
    job: Job, share: Share, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a job in a session of its own, so that the terminal's Ctrl-C does not reach it.

    Returns:
        Its process, and the size of what is in its output before.
    """
    variables = {**environment, **share.variables}
    if FRACTION in share.variables:
        variables.pop(OLD_FRACTION, None)  # JAX refuses both
    job.output.parent.mkdir(parents=True, exist_ok=True)
    # Another command may run this job at the moment, and write here.
    with job.output.open("a") as file, _pinned(share.cores):
        start = file.tell()
        process = subprocess.Popen(
            job.command, stdout=file, stderr=file, env=variables, start_new_session=True
        )
        return process, start


@contextmanager
def _pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """Within this context, a process that this thread starts stays on these cores, if it can."""
    if cores is None or not hasattr(os, "sched_setaffinity"):  # macOS has no such call
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
