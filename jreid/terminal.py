"""Makes printing safe: no text ends a command by an error or controls the terminal."""

import atexit
import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any

# Escape sequences, other control characters, and those that change the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

OWN_PACKAGES = ("jreid", "experiments")
NAMES = {"stdout": "standard output", "stderr": "standard error"}


def printable(text: str) -> str:
    r"""The text with control characters as escapes such as `\x1b`; tabs and line ends stay."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def clean(text: str) -> str:
    """The printable text with `?` for lone surrogates, which names of files may have."""
    return printable(text).encode(errors="replace").decode()


def one_line(text: str) -> str:
    r"""The printable text with line ends as `\n`."""
    return printable(text).replace("\n", "\\n")


class SentenceHandler(logging.Handler):
    """Writes one line to standard error for each record; warnings and errors name their package.

    Records below a warning are written only for jreid and its experiments.
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
    r"""Makes standard output and error print `?` for characters that their encoding lacks.

    Control characters are printed as `printable` has them, since names of images, people and
    tensors come from files. Rich prints through `jreid.console`, which does the same. A line that
    cannot be written, on a full disk or to a closed pipe, does not end the command.
    """
    for name, other in (("stdout", "stderr"), ("stderr", "stdout")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # else other code has replaced the stream
            stream.reconfigure(errors="replace")
        if stream is not None and not isinstance(stream, _Printable):
            setattr(sys, name, _Printable(_Lasting(stream, NAMES[name], other)))


def output_is_lost() -> bool:
    """Flushes standard output; returns whether any of its output could not be written."""
    if not isinstance(sys.stdout, _Printable):
        return False
    sys.stdout.flush()
    return sys.stdout.rich_proxied_file.lost


class _Lasting:
    """A text stream that drops what cannot be written, and reports it once on the other stream."""

    def __init__(self, stream: Any, name: str, other: str) -> None:
        self.lost = False
        self._stream, self._name, self._other = stream, name, other

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            if self.lost:
                return
            self.lost = True  # set before writing to the other stream, which may fail as well
            atexit.register(self._leave)
            message = (
                f"jreid: {self._name} cannot be written to ({error.strerror or error}); the "
                "command continues, but this output is lost."
            )
            print(message, file=getattr(sys, self._other), flush=True)

    def _leave(self) -> None:
        """Prevents an error when Python closes the stream at exit."""
        self.flush()
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Printable:
    """A text stream that writes `printable` text into another."""

    def __init__(self, stream: _Lasting) -> None:
        self.rich_proxied_file = stream  # Rich writes its own control sequences to it

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(printable(text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)
