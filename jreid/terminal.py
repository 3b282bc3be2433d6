"""What is printed: whatever a name holds, it neither ends a command nor commands the terminal."""

import atexit
import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any

# Escape sequences, other control characters, and those that turn the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

OWN_PACKAGES = ("jreid", "experiments")
NAMES = {"stdout": "standard output", "stderr": "standard error"}


def printable(text: str) -> str:
    r"""The text with control characters but tabs and line ends written out, such as `\x1b`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""The printable text with line ends as `\n`."""
    return printable(text).replace("\n", "\\n")


class SentenceHandler(logging.Handler):
    """Writes a line to standard error for each record: warnings and errors with who logs them.

    What goes well is only reported by jreid itself and its experiments.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or _package(record) in OWN_PACKAGES

    def emit(self, record: logging.LogRecord) -> None:
        message = one_line(record.getMessage())
        if record.levelno >= logging.WARNING:
            message = f"{_package(record)}: {message}"
        print(message, file=sys.stderr, flush=True)


def _package(record: logging.LogRecord) -> str:
    return record.name.partition(".")[0]


def replace_what_cannot_be_shown() -> None:
    r"""Has standard output and error print `?` for what their encoding lacks, such as `±`.

    Control characters are written out there, as `printable` does: names of images, people and
    tensors are other people's text. Rich writes by `jreid.console`, which does the same. Lines that
    cannot be written, on a full disk or to a reader that has left, end no command.
    """
    for name, other in (("stdout", "stderr"), ("stderr", "stdout")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # else somebody has put another file in its place
            stream.reconfigure(errors="replace")
        if stream is not None and not isinstance(stream, _Printable):
            setattr(sys, name, _Printable(_Lasting(stream, NAMES[name], other)))


def output_is_lost() -> bool:
    """Writes what waits for standard output; whether that, or anything before, was not written."""
    if not isinstance(sys.stdout, _Printable):
        return False
    sys.stdout.flush()
    return sys.stdout.rich_proxied_file.lost


class _Lasting:
    """A text stream that drops what cannot be written, and says so once on the other stream."""

    def __init__(self, stream: Any, name: str, other: str) -> None:
        self.lost = False
        self._stream, self._name, self._other = stream, name, other

    def write(self, text: str) -> int:
        self._going_on(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._going_on(self._stream.flush)

    def _going_on(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            if self.lost:
                return
            self.lost = True  # before the other stream is written to, which may be full as well
            atexit.register(self._leave)
            message = (
                f"jreid: {self._name} cannot be written to ({error.strerror or error}); the "
                "command goes on, and what it prints there is lost."
            )
            print(message, file=getattr(sys, self._other), flush=True)

    def _leave(self) -> None:
        """Has Python find nothing to complain of when it closes the stream."""
        self.flush()
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Printable:
    """A text stream that writes `printable` text into another."""

    def __init__(self, stream: _Lasting) -> None:
        self.rich_proxied_file = stream  # to which Rich writes its own control sequences

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(printable(text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)
