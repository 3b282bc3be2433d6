"""Measures functions: their time when they take turns, and the growth of a process's memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

PAUSE = 0.2  # seconds; the idle threads of a BLAS spin for a while, which slows what runs next


class Seconds(NamedTuple):
    """The seconds of each round, by the clock and of the processors."""

    wall: list[float]
    work: list[float]


def by_turns(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """The seconds of functions that take turns, so that other work on the machine slows all.

    Before each call there is a pause.
    """
    seconds = {name: Seconds([], []) for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(PAUSE)
            wall, work = time.perf_counter(), time.process_time()
            function()
            seconds[name].wall.append(time.perf_counter() - wall)
            seconds[name].work.append(time.process_time() - work)
    return seconds


def peak() -> int:
    """The most bytes that this process has held; Linux only.

    `getrusage` would begin with the peak of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def growth(function: Callable[[], object]) -> int:
    """The bytes by which a call raises the peak of this process."""
    jnp.zeros(8).block_until_ready()  # so that JAX's own start does not count
    before = peak()
    function()
    return peak() - before


def growth_in_a_process(module: str, method: str, arrays: Mapping[str, np.ndarray]) -> int:
    """The `growth` of a method in a new process, which has no other memory.

    Args:
        module: a benchmark that takes `--memory-of=METHOD,FOLDER` and prints the bytes. The arrays
            are .npy files in this folder, since making them has its own peak.
        method: the name of the method.
        arrays: by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, values in arrays.items():
            np.save(f"{folder}/{name}.npy", values)
        command = [sys.executable, "-m", module, f"--memory-of={method},{folder}"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
