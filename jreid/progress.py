"""How far long work has come: one interface, `ProgressBar`, for all that is shown of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

Item = TypeVar("Item")

# Takes what is being done, how much of it is done, and how much there is to do.
ProgressBar = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """A `ProgressBar` that shows nothing."""


def with_progress(items: Iterable[Item], what: str, total: int, bar: ProgressBar) -> Iterator[Item]:
    """The items one by one; the bar shows how many of `total` are done."""
    bar(what, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        bar(what, done, total)


class TerminalBar:
    """A `ProgressBar` on standard error, if that is a terminal. A context manager.

    Leaving it removes the bar. Lines that are printed meanwhile appear above it.

    Attributes:
        shown: whether there is a terminal that can show it.
    """

    def __init__(self, wanted: bool = True) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from jreid.console import Console

        console = Console(stderr=True)
        self.shown = wanted and console.is_terminal and not console.is_dumb_terminal
        columns = (
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.description}"),
            TimeRemainingColumn(compact=True),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not self.shown)
        self._task = self._progress.add_task("", total=None)
        self._done = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows what is being done, `done` of `total`."""
        if done < self._done:  # other work, whose speed is not known yet
            self._progress.reset(self._task)
        self._done = done
        self._progress.update(self._task, description=what, completed=done, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
