"""`python -m jreid` in a process of its own, which no test leaves behind."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from helpers.paths import ROOT
from helpers.run_folder import metrics_of, rows_of

LIMIT = 600  # seconds for a command; a hang fails its test instead of holding all of them up
# What Orbax writes of when and where, and the sums of that.
WITH_TIME_OR_PLACE = {"_CHECKPOINT_METADATA", "commit_success.txt", "SHA256SUMS"}
SMALL_EVALUATION = [
    "--config.protocols=sysu_mm01:search=all,shots=1,trials=2",
    "--config.evaluation.rerank=none",
]


def tiny_flags(folder: Path, prepared: Path) -> list[str]:
    """AGW on the tiny dataset with little evaluation."""
    places = [f"--config.data.folder={folder}", f"--config.data.prepared={prepared}"]
    return [f"--config={ROOT}/configs/agw.py:tiny", "--no-report", *places, *SMALL_EVALUATION]


class Finished(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """The sentences that a user reads on standard error."""
        return [line for line in self.err.splitlines() if line.startswith("jreid: ")]

    def refused(self) -> str:
        """The one sentence of a command that was refused, without a traceback."""
        assert self.status == 2, self.err
        assert "Traceback" not in self.err, self.err
        return self.messages[-1]


def run(*arguments: object, **environment: str) -> Finished:
    """Runs a command to its end."""
    done = subprocess.run(
        _command(arguments),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=ROOT,
        env=os.environ | environment,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until the block ends; its standard error can be read."""
    with subprocess.Popen(
        _command(arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        deadline = threading.Timer(LIMIT, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


def _command(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "jreid", *map(str, arguments)]


def step_of(line: str) -> int | None:
    """The step that a line of training tells of, if one."""
    match = re.match(r"step (\d+)/", line)
    return int(match[1]) if match else None


def steps_in(workdir: Path) -> list[int]:
    """The steps that are saved."""
    folders = (workdir / "checkpoints").glob("*")
    return sorted(int(folder.name) for folder in folders if folder.name.isdecimal())


def outcome(workdir: Path) -> dict[str, object]:
    """All that a run leaves which must not depend on when, where or how often it was stopped.

    Checkpoints are compared by their files: each array has its own, whose bytes are its values.
    """
    files = {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in (workdir / "checkpoints").rglob("*")
        if path.is_file() and path.name not in WITH_TIME_OR_PLACE
    }
    return {**files, "metrics": metrics_of(workdir), "rows": rows_of(workdir)}
