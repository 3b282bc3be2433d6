"""What is printed: whatever a name holds, it neither ends a command nor commands the terminal."""

import io
import re
import sys
from typing import Any

# Escape sequences, other control characters, and those that turn the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text with control characters but tabs and line ends written out, such as `\x1b`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""The printable text with line ends as `\n`."""
    return printable(text).replace("\n", "\\n")


def replace_what_cannot_be_shown() -> None:
    r"""Has standard output and error print `?` for what their encoding lacks, such as `±`.

    Control characters are written out there, as `printable` does: names of images, people and
    tensors are other people's text. Rich writes by `jreid.console`, which does the same.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # else somebody has put another file in its place
            stream.reconfigure(errors="replace")
        if stream is not None and not isinstance(stream, _Printable):
            setattr(sys, name, _Printable(stream))


class _Printable:
    """A text stream that writes `printable` text into another."""

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = stream  # to which Rich writes its own control sequences

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)
