"""The output of training: metrics as JSON lines and for TensorBoard, and progress."""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from jreid.distributed.processes import is_main_process
from jreid.errors import counted
from jreid.files import write_text
from jreid.progress import TerminalBar
from jreid.training.observer import Observer, Step

log = logging.getLogger(__name__)


class MetricWriter(Observer):
    """Writes metrics of steps to `metrics.jsonl`, the record, and to TensorBoard files.

    Lines of steps after `start` are dropped: a resumed run writes them again. Lines that cannot be
    read are dropped, too. During training a failed write does not end the run; the first failure is
    logged. Of several processes the first one writes.
    """

    def __init__(self, folder: Path, start: int, unscored: bool = False) -> None:
        """`unscored`: drops the validation metrics of step `start`, too."""
        import tensorflow as tf

        self._path, self._writes = folder / "metrics.jsonl", is_main_process()
        self._warned = False
        if not self._writes:
            return
        kept = _lines_until(start, unscored, self._path)
        write_text(self._path, "".join(f"{line}\n" for line in kept))
        self._board = tf.summary.create_file_writer(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._try(self._board.close)

    def on_step(self, step: Step) -> None:
        """Writes the means, if any, with the epoch and the speed."""
        if step.means is not None:
            speed = {"images_per_second": step.images_per_second}
            self.write(step.number, {"epoch": step.epoch, **step.means, **speed})

    def on_validation(self, number: int, metrics: Mapping[str, float]) -> None:
        """Writes the score."""
        self.write(number, metrics)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line, and one TensorBoard point for each metric."""
        line = json.dumps({"step": step, **metrics}, allow_nan=False) + "\n"
        if self._writes:
            self._try(lambda: self._append(line))
            self._try(lambda: self._plot(step, metrics))

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line)

    def _plot(self, step: int, metrics: Mapping[str, float]) -> None:
        import tensorflow as tf

        with self._board.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
            self._board.flush()

    def _try(self, write: Callable[[], None]) -> None:
        import tensorflow as tf

        try:
            write()
        except (OSError, tf.errors.OpError) as error:
            if not self._warned:
                log.warning(
                    "%s cannot be written to (%s): training continues and logs what it can.",
                    self._path.parent,
                    str(error).splitlines()[0],
                )
            self._warned = True
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(exist_ok=True)  # the folder may have been removed


def _lines_until(start: int, unscored: bool, path: Path) -> list[str]:
    """The lines of the steps up to `start`; damaged lines are dropped with a warning."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    kept, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            metrics = json.loads(line)
            step = metrics["step"]
            if step < start or (step == start and not (unscored and _is_validation(metrics))):
                kept.append(line.decode())
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged.append(number)
    if damaged:
        log.warning(
            "%s: %s, the first is line %d; training continues.",
            path,
            counted(len(damaged), "lines dropped that cannot be read"),
            damaged[0],
        )
    return kept


def _is_validation(metrics: Mapping[str, float]) -> bool:
    return any(name.startswith("validation/") for name in metrics)


class StepProgress(Observer):
    """A bar on a terminal, plain lines elsewhere. A context manager."""

    def __init__(self, start: int, steps: int, images: int) -> None:
        """For a run of `steps` steps of `images` images each, `start` of which are done."""
        self._start, self._steps, self._images = start, steps, images
        self._bar, self._text = TerminalBar(is_main_process(), lines=False), "steps"

    def __enter__(self) -> Self:
        if self._start:
            log.info("resuming at step %d of %d", self._start, self._steps)
        self._bar.__enter__()
        self._bar(self._text, self._start, self._steps)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def on_step(self, step: Step) -> None:
        """Shows the step; if means are due also epoch, losses, speed and time left."""
        if step.means is not None:
            self._text = f"steps, {self._describe(step)}"
        self._bar(self._text, step.number, self._steps)
        if step.means is not None and not self._bar.shown:
            line = f"step {step.number}/{self._steps}, {self._describe(step)}"
            log.info("%s%s", line, self._time_left(step))

    def _describe(self, step: Step) -> str:
        means = step.means or {}
        losses = [f"{name} {means[name]:.3f}" for name in means if name.endswith("/loss")]
        speed = [f"{step.images_per_second:.0f} images/s"] if step.images_per_second else []
        return ", ".join([f"epoch {step.epochs_done}", *losses, *speed])

    def _time_left(self, step: Step) -> str:
        if not step.images_per_second:
            return ""
        seconds = (self._steps - step.number) * self._images / step.images_per_second
        return f", {int(seconds // 60)}:{int(seconds % 60):02d} left"
