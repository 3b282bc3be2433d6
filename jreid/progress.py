"""Progress of long work: `ProgressBar` for what can be counted, `explained` for what cannot."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

Item = TypeVar("Item")
COMPILING = "compiling {}, up to some minutes for a large network; this is done once"
SILENCE = 2.0  # seconds before the first message
PAUSE = 30.0  # seconds between two lines of progress where no terminal shows a bar
log = logging.getLogger(__name__)

# Called with the name of the work, the amount done, and the total.
ProgressBar = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """A `ProgressBar` that shows nothing."""


def with_progress(items: Iterable[Item], what: str, total: int, bar: ProgressBar) -> Iterator[Item]:
    """Yields the items; the bar shows how many of `total` are done."""
    bar(what, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        bar(what, done, total)


@contextlib.contextmanager
def explained(sentence: str) -> Iterator[None]:
    """Logs a sentence if the block takes longer than two seconds, such as a compilation."""
    with said_after(SILENCE, log.info, sentence):
        yield


@contextlib.contextmanager
def said_after(seconds: float, say: Callable[[str], None], sentence: str) -> Iterator[None]:
    """Calls `say` with a sentence if the block takes longer than these seconds."""
    timer = threading.Timer(seconds, say, (sentence,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class TerminalBar:
    """A `ProgressBar` on standard error. A context manager.

    On a terminal or in a notebook it disappears at the end, and lines that are printed meanwhile
    appear above it. Elsewhere it logs a line after two seconds, and then every 30 seconds.

    Attributes:
        shown: whether there is a terminal or a notebook that can show it.
    """

    def __init__(self, wanted: bool = True, lines: bool = True) -> None:
        """
        Args:
            wanted: whether anything is shown.
            lines: whether lines are logged where no bar can be shown.
        """
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from jreid.console import Console

        console = Console(stderr=True)
        terminal = console.is_terminal and not console.is_dumb_terminal
        self.shown = wanted and (terminal or console.is_jupyter)
        self._lines = wanted and lines and not self.shown
        columns = (
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.description}"),
            TimeRemainingColumn(compact=True),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not self.shown)
        self._task = self._progress.add_task("", total=None)
        self._what, self._done = "", 0
        self._next_line = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows the name of the work, and `done` of `total`."""
        if done < self._done:  # new work, of unknown speed
            self._progress.reset(self._task)
        if self._lines:
            self._log(what, done, total)
        self._what, self._done = what, done
        self._progress.update(self._task, description=what, completed=done, total=total)

    def _log(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what or done < self._done:
            self._next_line = now + SILENCE
        elif now >= self._next_line and done < total:
            log.info("%d/%d %s", done, total, what)
            self._next_line = now + PAUSE

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
