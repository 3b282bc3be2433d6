"""The one error that users cause: bad input, told in one sentence. Imports nothing."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file or field, the cause, the remedy.

    The command line prints it without a traceback and exits with status 2; any other exception is
    a fault of jreid and keeps its traceback.
    """
