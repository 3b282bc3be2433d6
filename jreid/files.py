"""Writes files and folders completely or not at all, even if the process or the power fails.

Also reads files of limited size and JSON strictly, and hashes files. Imports nothing of jreid but
its errors.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jreid.errors import InputError

LARGEST = 200_000_000  # bytes of a list or a record
LOOKED_AGAIN = 0.1  # seconds after which a lock is tried again
log = logging.getLogger(__name__)
# The name of a file that is being written.
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.unfinished")
# Errors of file systems that cannot sync folders, and of folders that only their owner may list.
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under another name and then renames it; creates its folder if needed.

    The content is on the disk before the renaming, and the name before this returns.

    Raises:
        InputError: the file cannot be written; an earlier file of this name is unchanged.
    """
    if not path.name or os.path.isdir(path):
        raise InputError(f"{path} is a folder; name a file.")
    try:
        make_folder(path.parent)
        _remove_abandoned(path)
        with _unfinished(path) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        sync(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); free space or choose another "
            "path."
        ) from error


@contextlib.contextmanager
def _unfinished(path: Path) -> Iterator[BinaryIO]:
    """A new file beside a path, locked while this process lives, and removed at the end."""
    file = None
    # Another process may remove it before it is locked: then once more.
    while file is None or not os.path.exists(file.name):
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")
        file = name.open("xb")
        # On a file system without locks, the file is never removed as abandoned.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
    try:
        with file:
            yield file
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file.name)


def _remove_abandoned(path: Path) -> None:
    """Removes unfinished files of killed processes beside a path."""
    for name in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):
        with contextlib.suppress(OSError), name.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8; InputError as `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, as hexadecimal digits; OSError as `Path.open`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_limited(path: Path, most: int = LARGEST) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or not a regular file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # opening a pipe may never return
        raise ValueError("it is not a regular file")
    if found.st_size > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8; errors as `read_limited` and `parse_json`."""
    return parse_json(read_limited(path).decode())


def parse_json(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        ValueError: it is not JSON; Python's parser alone would accept NaN and infinity.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"it has {constant}, which is not JSON")

    return json.loads(text, parse_constant=refuse)


def rename_whole(unfinished: Path, path: Path) -> None:
    """Gives a finished folder its name, after all of its content is on the disk.

    Raises:
        OSError: as `os.rename`; or the disk has failed.
    """
    sync_all(unfinished)
    rename(unfinished, path)


def sync_all(folder: Path) -> None:
    """Returns once a folder's whole content is on the disk; OSError as `sync`."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def rename(old: Path, new: Path) -> None:
    """Renames, and returns once that is on the disk; OSError as `os.rename`."""
    os.rename(old, new)
    sync(new.parent)


def make_folder(folder: Path) -> None:
    """Creates a folder and its missing parents; OSError as `Path.mkdir`."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)


def check_folder(folder: Path) -> None:
    """Raises InputError unless a folder can be written to, or created, before work is done."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not place.is_dir():
        raise InputError(f"{place} is a file, not a folder; remove it, or choose another path.")
    if not os.access(place, os.W_OK):
        raise InputError(f"{place} cannot be written to; choose another path.")


def sync(path: Path) -> None:
    """Returns once a file's content, or a folder's list of names, is on the disk.

    Folders are skipped on file systems that cannot sync them.

    Raises:
        OSError: the disk has failed or is full.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC or not path.is_dir():
            raise


@contextlib.contextmanager
def one_at_a_time(path: Path, work: str, patience: float) -> Iterator[None]:
    """Only one process at a time runs this block, for work that all of them need only once.

    Others wait for it, up to `patience` seconds: a process that is suspended, or on a machine that
    is lost, keeps its lock. Where nothing can be locked, nobody waits.

    Args:
        path: a folder, or a file, which is created if it is missing; locked, and unchanged.
        work: what the process does that others wait for, such as "resizes images", for the log.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
            handle = os.open(path, flags, 0o666)
            stack.callback(os.close, handle)
            if not _locks(handle):
                log.info("another process %s; waiting for it", work)
            end = time.monotonic() + patience
            while not _locks(handle):
                if time.monotonic() > end:
                    log.warning("%s is still locked; going on without the other process", path)
                    break
                time.sleep(LOOKED_AGAIN)
        yield


def _locks(handle: int) -> bool:
    """Locks an open file, or returns False if another process has locked it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
