"""Profiles a few training steps, and measures the share of their time without computing."""

import contextlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jreid.distributed.processes import is_main_process
from jreid.errors import InputError
from jreid.training.observer import Observer, Step
from jreid.training.plan import Starts

log = logging.getLogger(__name__)
# Not profiled: compilation, and batches that were read during it or during evaluation.
WARM_STEPS = 10
PERFETTO = "https://ui.perfetto.dev"
# The lines of a trace that show computing: a CPU's threads, and other devices.
CPU_LINES = ("tf_XLAEigen", "tf_XLAPjRtCpuClient")
DEVICE_LINES = ("XLA Ops", "Compute")  # "Stream #13(Compute)" on a GPU

Interval = tuple[float, float]  # begin and end in nanoseconds


class Profiler(Observer):
    """Records steps with `jax.profiler`, in one epoch if it is long enough. A context manager.

    Of several processes the first one records its own devices.
    """

    def __init__(self, folder: Path, steps: int, first: int, starts: Starts) -> None:
        """Records `steps` steps, or none, of a command that starts at step `first`.

        Raises:
            InputError: fewer steps are left, or `steps` is negative.
        """
        if steps < 0:
            raise InputError(f"--profile={steps} is negative; give a number of steps, such as 20.")
        left = starts[-1] - first
        if steps and WARM_STEPS + steps > left:
            most = left - WARM_STEPS
            remedy = f"give at most {most}" if most > 0 else "leave the flag out"
            raise InputError(
                f"--profile={steps} also needs {WARM_STEPS} warm-up steps, but the run has only "
                f"{left} steps left; {remedy}, or profile a new run."
            )
        self._folder, self._steps = folder, steps if is_main_process() else 0
        self._begin, self._records = _begin(steps, first, starts), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._records:
            with contextlib.suppress(OSError, RuntimeError):  # not those of the error
                jax.profiler.stop_trace()

    def on_step(self, step: Step) -> None:
        """Starts or ends recording after a step, and logs the result."""
        if self._records and step.number >= self._begin + self._steps:
            self._end(step.state)
        elif not step.ends_epoch:
            self._begin_after(step.number)

    def on_epoch_end(self, step: Step) -> None:
        """Starts recording after an epoch, so that its scoring is not recorded."""
        self._begin_after(step.number)

    def _begin_after(self, number: int) -> None:
        if self._steps and number == self._begin:
            shutil.rmtree(self._folder, ignore_errors=True)
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # tracing Python's calls would slow the steps
            jax.profiler.start_trace(
                str(self._folder), create_perfetto_trace=True, profiler_options=options
            )
            self._records = True

    def _end(self, state: Any) -> None:
        """Ends recording, and logs the profile's path and result."""
        jax.block_until_ready(state)
        self._records = False
        try:
            jax.profiler.stop_trace()
            (picture,) = self._folder.rglob("perfetto_trace.json.gz")
            (trace,) = self._folder.rglob("*.xplane.pb")
            shares = [idle_share(intervals) for intervals in computing(trace)]
        except (OSError, ValueError, RuntimeError) as error:
            log.warning(
                "no profile: %s has none that can be read (%s); training continues.",
                self._folder,
                error,
            )
            return
        steps = f"steps {self._begin + 1} to {self._begin + self._steps}"
        result = "it does not show when the devices computed"
        if shares:
            result = f"device idle time {np.mean(shares):.1%}"
        log.info("profile of %s: %s; open it on %s; %s", steps, picture, PERFETTO, result)


def _begin(steps: int, first: int, starts: Starts) -> int:
    """The step after which to record; if possible, all recorded steps are in one epoch."""
    begins = [step + WARM_STEPS for step in (first, *starts) if step >= first]
    within = (begin for begin in begins if all(not begin < end < begin + steps for end in starts))
    possible = (begin for begin in within if begin + steps <= starts[-1])
    return next(possible, first + WARM_STEPS)


def computing(trace: Path) -> list[list[Interval]]:
    """The intervals in which each device computed, from a trace of `jax.profiler` (.xplane.pb).

    The devices of a CPU count as one, since they share its threads.
    """
    devices = []
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        wanted = DEVICE_LINES if plane.name.startswith("/device:") else CPU_LINES
        intervals = [
            (event.start_ns, event.end_ns)
            for line in plane.lines
            if any(name in (line.name or "") for name in wanted)
            for event in line.events
        ]
        devices.append((plane.name, intervals))
    others = [intervals for name, intervals in devices if name.startswith("/device:") and intervals]
    return others or [intervals for _, intervals in devices if intervals]


def idle_share(intervals: Iterable[Interval]) -> float:
    """The share of time that no interval covers, from the first begin to the last end.

    Raises:
        ValueError: no interval, or none that takes time.
    """
    covered = [*_joined(intervals)]
    whole = covered[-1][1] - covered[0][0] if covered else 0
    if whole <= 0:
        raise ValueError("idle_share: the intervals take no time")
    return 1 - sum(end - begin for begin, end in covered) / whole


def _joined(intervals: Iterable[Interval]) -> Iterator[Interval]:
    """The intervals in order, with overlapping ones joined."""
    open_begin, open_end = None, 0.0
    for begin, end in sorted(intervals):
        if open_begin is None or begin > open_end:
            if open_begin is not None:
                yield open_begin, open_end
            open_begin, open_end = begin, end
        open_end = max(open_end, end)
    if open_begin is not None:
        yield open_begin, open_end
