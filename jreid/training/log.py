"""What a run tells while it trains: metrics as JSON lines and for TensorBoard, and its progress."""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from jreid.distributed.processes import is_main_process
from jreid.files import write_text
from jreid.progress import TerminalBar

log = logging.getLogger(__name__)


class MetricWriter:
    """Writes metrics of steps to `metrics.jsonl`, the record of truth, and TensorBoard files.

    Lines of steps after `start` are dropped: a run that resumes writes them anew. So are lines that
    cannot be read. Once training goes on, no fault of writing ends it; the first one is reported.
    Of several processes the first one writes.
    """

    def __init__(self, folder: Path, start: int, unscored: bool = False) -> None:
        """`unscored`: the validation metrics of step `start` are dropped too."""
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
            self._going_on(self._board.close)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line and one point a metric."""
        line = json.dumps({"step": step, **metrics}, allow_nan=False) + "\n"
        if self._writes:
            self._going_on(lambda: self._append(line))
            self._going_on(lambda: self._plot(step, metrics))

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line)

    def _plot(self, step: int, metrics: Mapping[str, float]) -> None:
        import tensorflow as tf

        with self._board.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
            self._board.flush()

    def _going_on(self, write: Callable[[], None]) -> None:
        import tensorflow as tf

        try:
            write()
        except (OSError, tf.errors.OpError) as error:
            if not self._warned:
                log.warning(
                    "%s cannot be written to (%s): training goes on and logs what it can.",
                    self._path.parent,
                    str(error).splitlines()[0],
                )
            self._warned = True
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(exist_ok=True)  # in case it was removed


def _lines_until(start: int, unscored: bool, path: Path) -> list[str]:
    """The lines of the steps up to `start`; damaged ones are left out, with a warning."""
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
            "%s: %s cannot be read and %s left out, line %d first; training goes on.",
            path,
            "1 line" if len(damaged) == 1 else f"{len(damaged)} lines",
            "is" if len(damaged) == 1 else "are",
            damaged[0],
        )
    return kept


def _is_validation(metrics: Mapping[str, float]) -> bool:
    return any(name.startswith("validation/") for name in metrics)


class StepProgress:
    """A bar on a terminal, plain lines elsewhere. Its clock leaves out compilation and scoring."""

    def __init__(self, start: int, steps: int, images: int) -> None:
        """Of a run of `steps` steps of `images` images each, `start` of which are done."""
        self._step, self._steps, self._images = start, steps, images
        self._timed_steps, self._seconds = 0, 0.0
        self._last: float | None = None
        self._bar, self._text = TerminalBar(is_main_process()), "steps, compiling"

    def __enter__(self) -> Self:
        if self._step:
            log.info("going on from step %d of %d", self._step, self._steps)
        self._bar.__enter__()
        self._bar(self._text, self._step, self._steps)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def advance(self) -> None:
        """A step is done."""
        now = time.monotonic()
        if self._last is not None:
            self._timed_steps += 1
            self._seconds += now - self._last
        self._last = now
        self._step += 1
        self._bar(self._text, self._step, self._steps)

    def pause(self) -> None:
        """The time until the next step is done does not count."""
        self._last = None

    @property
    def images_per_second(self) -> float:
        """Of the steps that were timed; 0 before the second."""
        return self._images * self._timed_steps / self._seconds if self._timed_steps else 0.0

    def show(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Shows the epoch, the players' losses, the speed and the time left."""
        losses = [f"{name} {metrics[name]:.3f}" for name in metrics if name.endswith("/loss")]
        text = f"epoch {epoch + 1}, {', '.join(losses)}"
        speed = self.images_per_second
        if speed:
            text += f", {speed:.0f} images/s"
        self._text = f"steps, {text}"
        self._bar(self._text, self._step, self._steps)
        if not self._bar.shown:
            left = (self._steps - self._step) * self._images / speed if speed else 0
            time_left = f", {int(left // 60)}:{int(left % 60):02d} left" if speed else ""
            log.info("step %d/%d, %s%s", self._step, self._steps, text, time_left)
