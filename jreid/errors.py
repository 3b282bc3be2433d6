"""Errors: bad input, which is reported in one sentence, and runs that were asked to stop."""

import traceback


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or field, the cause, the remedy.

    The command line prints it without a traceback and exits with status 2; any other exception is
    a fault of jreid and keeps its traceback.
    """


class Stopped(Exception):  # noqa: N818
    """A run stopped because it was asked to; this is no error.

    Attributes:
        status: the exit status, 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def describe(error: BaseException, file: str | None = None) -> str:
    """The message of an error that other code raised, in one line, with its type if that helps.

    Args:
        error: the exception.
        file: a file of that code; the message then names the line in it that raised.
    """
    text = " ".join(str(error).split()).rstrip(".")
    if not text or not isinstance(error, ValueError | SyntaxError | TypeError):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{text} (line {lines[-1]})" if lines else text


def counted(number: int, plural: str) -> str:
    """A number with its noun: `1,200 images`, `1 image` or `1 identity in two splits`."""
    noun, _, rest = plural.partition(" ")
    if number == 1:
        noun = f"{noun[:-3]}y" if noun.endswith("ies") else noun[:-1]
    return f"{number:,} {noun} {rest}".rstrip()


def differing(number: int, plural: str) -> str:
    """How many things differ: `1 array differs` or `2 arrays differ`."""
    return f"{counted(number, plural)} {'differs' if number == 1 else 'differ'}"
