"""Bad input, reported in one sentence, and runs that were asked to stop. Imports nothing."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or field, the cause, the remedy.

    The command line prints it without a traceback and exits with status 2; any other exception is
    a fault of jreid and keeps its traceback.
    """


class Stopped(Exception):  # noqa: N818
    """A run that was asked to stop, and did: nothing is wrong with it.

    Attributes:
        status: the exit status, 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
