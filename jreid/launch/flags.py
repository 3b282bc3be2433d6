"""The flags that say where several runs are trained."""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

from jreid.errors import InputError
from jreid.launch import local, slurm
from jreid.launch.jobs import Launch

LAUNCHERS = ("local", "slurm")


def add_launcher_flags(parser: Any) -> None:
    """Adds the flags, which `launch_of` reads."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help="local: train the runs on this machine; slurm: as a job array of SLURM, which needs "
        '`pip install "jreid[slurm]"`; the command waits for the jobs (default: local)',
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="local: train N runs side by side, each on its own share of the cores and GPUs "
        "(default: 1); slurm: run at most N jobs at once (default: all)",
    )
    parser.add_argument(
        "--slurm",
        metavar="OPTION=VALUE,...",
        help="options of sbatch for each run, such as partition=gpu,gpus_per_node=1,time=240; "
        "time, in minutes, is required: a longer run saves, and is queued again",
    )


def is_launched(options: argparse.Namespace) -> bool:
    """Whether one of the flags is given."""
    return any(value is not None for value in (options.launcher, options.workers, options.slurm))


def launch_of(options: argparse.Namespace, folder: Path) -> Launch:
    """What runs the jobs of a command. Call this before JAX starts.

    Args:
        options: with the flags of `add_launcher_flags`.
        folder: of the runs.

    Raises:
        InputError: flags that cannot be read or combined.
    """
    if options.launcher == "slurm":
        settings = slurm.read_settings(options.slurm or "")
        files = folder.absolute() / "slurm"
        return partial(slurm.run_jobs, folder=files, settings=settings, workers=options.workers)
    if options.slurm is not None:
        raise InputError(f"--slurm={options.slurm} needs --launcher=slurm.")
    workers = 1 if options.workers is None else options.workers
    launch = partial(local.run_jobs, workers=workers, environment={**os.environ})
    # This process only waits, so it leaves the memory of a GPU to the runs.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return launch
