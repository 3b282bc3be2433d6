"""One interface for all progress bars, and the bar on a terminal."""

import io
import sys

import pytest

from jreid.progress import TerminalBar, with_progress


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
