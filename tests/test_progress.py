"""One interface for all progress bars, and the bar on a terminal."""

import io
import logging
import sys
import time

import pytest

from jreid import progress
from jreid.progress import TerminalBar, explained, with_progress


def test_items_are_counted_as_they_are_done():
    calls = []
    items = with_progress("ab", "reading", 2, lambda *call: calls.append(call))
    assert next(items) == "a"
    assert calls == [("reading", 0, 2)]
    assert [*items] == ["b"]
    assert calls == [("reading", 0, 2), ("reading", 1, 2), ("reading", 2, 2)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What is written to standard error while a bar shows two kinds of work."""

    def show(stream, term, wanted=True):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr(sys, "stderr", stream)
        with TerminalBar(wanted) as bar:
            for what in ("hashing", "packing"):
                for done in range(4):
                    bar(what, done, 3)
            print("a line", file=sys.stderr)
        return bar.shown, stream.getvalue()

    return show


def test_a_terminal_shows_what_is_done_and_lines_above_it(shown):
    there, text = shown(Terminal(), "xterm")
    assert there
    assert "3/3 packing" in text
    assert "a line" in text


@pytest.mark.parametrize(
    ("stream", "term", "wanted"),
    [(io.StringIO, "xterm", True), (Terminal, "dumb", True), (Terminal, "xterm", False)],
)
def test_elsewhere_lines_alone_are_shown(shown, stream, term, wanted):
    assert shown(stream(), term, wanted) == (False, "a line\n")


def test_long_work_is_explained_and_short_work_is_not(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "jreid"):
        with explained("short work"):
            pass
        monkeypatch.setattr(progress, "SILENCE", 0.01)
        with explained("compiling the step"):
            deadline = time.monotonic() + 30
            while not caplog.records and time.monotonic() < deadline:
                time.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == ["compiling the step"]


def test_without_a_terminal_long_work_logs_lines(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, "jreid"):
        for bar in (TerminalBar(), TerminalBar(lines=False), TerminalBar(wanted=False)):
            for done in range(70):
                bar("images embedded", done, 69)
                now[0] += 1
            bar("images embedded", 0, 1)  # other work, which is short
            bar("images embedded", 1, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "2/69 images embedded",
        "32/69 images embedded",
        "62/69 images embedded",
    ]
