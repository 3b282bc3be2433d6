"""A lock that allows one run for each working directory; it ends with its process."""

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from jreid.distributed.processes import on_main_process
from jreid.errors import InputError

LOCK_FILE = "lock"
log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Locks a working directory; creates it if it is missing, and removes it if it stays empty.

    Raises:
        InputError: another run uses it, or it cannot be written to.
    """
    held: list[TextIO] = []  # in the first process
    on_main_process(lambda: held.append(_take(workdir)))
    try:
        yield
    finally:
        for file in held:
            (workdir / LOCK_FILE).unlink(missing_ok=True)
            file.close()
            with contextlib.suppress(OSError):  # it has a run now
                workdir.rmdir()


def _take(workdir: Path) -> TextIO:
    path = workdir / LOCK_FILE
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", errors="replace")
    except OSError as error:
        raise InputError(
            f"{workdir} cannot be written to ({error.strerror}); choose another --workdir."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise InputError(
            f"{workdir} is in use by {file.read().strip() or 'another run'}; wait for it, or "
            "choose another --workdir."
        ) from None
    except OSError as error:
        log.warning(
            "%s cannot be locked (%s): do not start another run there meanwhile.",
            workdir,
            error.strerror,
        )
    if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
        file.close()  # of a run that has just ended and removed it
        return _take(workdir)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file
