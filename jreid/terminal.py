"""What is printed: a terminal that cannot show a character never ends a command."""

import io
import sys


def replace_what_cannot_be_shown() -> None:
    """Has standard output and error print `?` for what their encoding lacks, such as `±`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else somebody has put another file in its place
            stream.reconfigure(errors="replace")
