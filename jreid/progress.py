"""Progress of long work, shown through one interface, `ProgressBar`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

Item = TypeVar("Item")

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


class TerminalBar:
    """A `ProgressBar` on standard error, if that is a terminal. A context manager.

    The bar disappears at the end. Lines that are printed meanwhile appear above it.

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
        """Shows the name of the work, and `done` of `total`."""
        if done < self._done:  # new work, of unknown speed
            self._progress.reset(self._task)
        self._done = done
        self._progress.update(self._task, description=what, completed=done, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
