"""Runs commands as one job array of SLURM, by submitit.

submitit keeps a file for each job, `ID_submitted.pkl`, which holds the job, and a job that does not
find its file does nothing. So these files and `squeue` are the whole record of what is queued: a
sweep that was killed at any point continues, and submits nothing twice.
"""

import logging
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.errors import InputError, Stopped
from jreid.launch.jobs import Failure, Job, last_line, received_signals
from jreid.launch.slurm_job import Training
from jreid.optional_parts import require_part
from jreid.terminal import one_line

log = logging.getLogger(__name__)
POLL = 10  # seconds between two looks at the queue
PATIENCE = 3600.0  # seconds without an answer, after which the command ends
MOST_REQUEUES = 100  # of a run that needs longer than a job's time
STAY = "they stay in SLURM (scancel ends them); give the same command again to wait for them"
# Since SLURM 22.05, srun does not take over the allocation's --cpus-per-task.
ALL_CPUS = "[ -z $SLURM_CPUS_PER_TASK ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"


def read_settings(text: str) -> dict[str, str]:
    """sbatch's options from `partition=gpu,time=240,exclude=n1,n2`.

    Raises:
        InputError: it cannot be read, or it has no time in minutes.
    """
    words = [part.partition("=") for part in re.split(r",(?=[\w-]+=)", text)]
    settings = {name: value for name, _, value in words if name}
    for name, value in settings.items():
        if not re.fullmatch(r"[\w-]+", name) or not value:
            raise InputError(
                f"--slurm={text} is not a list of sbatch's options; give them as in "
                "--slurm=partition=gpu,time=240,gpus_per_node=1."
            )
    if not re.fullmatch(r"[1-9]\d*", settings.get("time", "")):
        raise InputError(
            f"--slurm={text} has no time of a job in minutes; add for example time=240. A run that "
            "needs longer saves before its time ends, and is queued again."
        )
    return settings


def run_jobs(
    jobs: Sequence[Job], folder: Path, settings: Mapping[str, str], workers: int | None = None
) -> list[Failure]:
    """Submits the jobs that are not in the queue, waits for all, and returns those that failed.

    Args:
        folder: of submitit's files; every node must see it under the same path.
        settings: as `read_settings` returns.
        workers: the largest number of jobs to run at once; None for all.

    Raises:
        InputError: submitit or SLURM is missing, SLURM refuses the jobs, or a run is in the queue
            with another command.
        Stopped: after Ctrl-C or SIGTERM; the jobs stay in the queue.
    """
    from jreid.runs.lock import locked  # imports JAX

    if workers is not None and workers < 1:
        raise InputError(f"--workers={workers} is not a number of jobs; give 1 or more.")
    if not jobs:
        return []
    executor = _executor(folder, settings, workers or len(jobs))
    with locked(folder):  # so that two commands at once do not submit the same run
        running = _in_queue(jobs, folder)
        new = [job for job in jobs if job not in running.values()]
        waiting = len(running)
        running |= zip(_submit(executor, new), new, strict=True)
    log.info("SLURM: runs that were in the queue: %d; submitted now: %d", waiting, len(new))
    _wait([*running])
    causes = [(job, _cause(number, job, folder)) for number, job in running.items()]
    return [Failure(job, cause) for job, cause in causes if cause]


def _executor(folder: Path, settings: Mapping[str, str], workers: int) -> Any:
    """submitit's executor of job arrays."""
    require_part("slurm", "--launcher=slurm")
    from submitit import SlurmExecutor

    for command in ("sbatch", "srun", "squeue"):
        if not shutil.which(command):
            raise InputError(
                f"--launcher=slurm needs the command {command}, which is missing here; give the "
                "same command where SLURM's commands are, such as on the cluster's login node."
            )
    executor = SlurmExecutor(folder, max_num_timeout=MOST_REQUEUES)
    executor.update_parameters(
        job_name="jreid",
        time=int(settings["time"]),
        array_parallelism=workers,
        setup=[ALL_CPUS],
        additional_parameters={name: settings[name] for name in settings if name != "time"},
    )
    return executor


def _submit(executor: Any, jobs: Sequence[Job]) -> list[str]:
    """The ids of the jobs, which are submitted as one array."""
    from submitit.core.utils import FailedJobError

    if not jobs:
        return []
    try:
        with executor.batch():
            submitted = [executor.submit(Training(), job) for job in jobs]
    except FailedJobError as error:
        cause = "; ".join(str(error).splitlines())
        raise InputError(f"SLURM refuses the jobs ({cause}); correct --slurm.") from error
    return [job.job_id for job in submitted]


def _in_queue(jobs: Sequence[Job], folder: Path) -> dict[str, Job]:
    """Those of the jobs that an earlier command submitted and that have not ended, by their ids."""
    from submitit.core.utils import DelayedSubmission, JobPaths

    by_output, found = {job.output.absolute(): job for job in jobs}, {}
    for number in _queue():
        file = JobPaths(folder, job_id=number).submitted_pickle
        queued = DelayedSubmission.load(file).args[0] if file.exists() else None
        if queued is None or queued.output.absolute() not in by_output:
            continue
        job = by_output[queued.output.absolute()]
        if queued.command != job.command:
            raise InputError(
                f"the run of {job.output} is in SLURM's queue as job {number} with other flags; "
                f"wait for it, or give scancel {number}."
            )
        found[number] = job
    return found


def _queue() -> dict[str, str]:
    """The states of this user's jobs by their ids, `12` or in an array `12_3`.

    Raises:
        InputError: SLURM does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"squeue does not answer ({one_line(done.stderr.strip())}); give the same command "
            "again later."
        )
    return dict(line.split() for line in done.stdout.splitlines())


def _wait(ids: Sequence[str]) -> None:
    """Returns when the jobs have left the queue; logs the number of jobs in each state.

    Raises:
        InputError: SLURM does not answer for an hour.
        Stopped: after Ctrl-C, SIGTERM or SIGHUP.
    """
    logged, here, before, answered = "", True, True, time.monotonic()
    with received_signals() as received:
        # Two looks, since a job appears in the queue, and its files on this machine, a little late.
        while here or before:
            try:
                states, answered = _queue(), time.monotonic()
                before, here = here, any(number in states for number in ids)
                counts = Counter(states.get(number, "ended").lower() for number in ids)
                text = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
            except InputError as error:
                cause = str(error).rpartition(";")[0]
                if time.monotonic() - answered > PATIENCE:
                    raise InputError(
                        f"{cause} for an hour; the jobs were not ended: {STAY}."
                    ) from error
                text = f"{cause}; asking again every {POLL} seconds"  # SLURM is restarted at times
            if text != logged:
                log.info("SLURM: %s", text)
            logged = text
            for _ in range(round(POLL * 10)):
                if received:
                    raise Stopped(128 + received[0], f"stopped waiting for the jobs: {STAY}")
                time.sleep(0.1)


def _cause(number: str, job: Job, folder: Path) -> str:
    """Why a job that has ended failed; empty if it did not."""
    from submitit.core.utils import JobPaths, pickle_load

    paths = JobPaths(folder, job_id=number, task_id=0)
    outcome, trace = "killed", ""
    if paths.result_pickle.exists():
        outcome, trace = pickle_load(paths.result_pickle)
    if outcome == "success":
        return ""
    cause = trace.strip().rpartition("\n")[2].removeprefix("RuntimeError: ")
    words = _slurms_words(paths.stderr) or ("" if cause else f"see {paths.stderr}")
    return "; ".join(filter(None, [cause or last_line(job.output), words]))


def _slurms_words(file: Path) -> str:
    """What SLURM wrote last about a job, such as that its time is used up; empty if nothing."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    words = [line for line in lines if line.startswith("slurmstepd") and "REQUEUE" not in line]
    return words[-1] if words else ""
