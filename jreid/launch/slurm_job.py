"""What runs on a node of SLURM. Importing it is cheap: it starts neither JAX nor TensorFlow."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

from jreid.launch.jobs import Job, cause_of


class Training:
    """What a job does: it runs a command.

    Before the job's time ends, submitit calls `checkpoint`, which has the command save and end, and
    queues the job again. The command then continues.
    """

    def __call__(self, job: Job) -> None:
        """Raises RuntimeError with the cause if the command fails."""
        output = job.output
        if rank := int(os.environ.get("SLURM_PROCID", "0")):
            output = output.with_name(f"{output.name}.{rank}")
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("a") as file, _ignoring(signal.SIGUSR2):
            start = file.tell()
            self.process = subprocess.Popen(job.command, stdout=file, stderr=file)
        _wait_for(self.process.pid)
        if status := self.process.wait():
            raise RuntimeError(cause_of(job._replace(output=output), status, start))

    def checkpoint(self, job: Job) -> Any:
        """Ends the command, which saves, and returns what to submit again."""
        from submitit.core.utils import DelayedSubmission

        self.process.terminate()
        _wait_for(self.process.pid)
        return DelayedSubmission(Training(), job)


def _wait_for(process: int) -> None:
    """Waits for a child and leaves its status, so that a signal's handler may wait for it, too."""
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


@contextlib.contextmanager
def _ignoring(number: int) -> Iterator[None]:
    """Within this context, a process that starts will ignore a signal: SLURM sends it to all."""
    handler = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, handler)
