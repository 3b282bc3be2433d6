"""Folders that are created completely or not at all, also by several processes at once."""

import contextlib
import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from jreid.files import make_folder, rename_whole


@contextlib.contextmanager
def whole_folder(target: Path, keep_other: bool = True) -> Iterator[Path]:
    """A new folder to fill, which becomes `target` when the block ends without an error.

    The folder and its content are on the disk before it gets its name. If another process has
    created `target` meanwhile, that one stays and this one is removed. Unfinished folders of killed
    processes are removed, too.

    Args:
        keep_other: whether `target` may be another process's; otherwise that is an error.

    Raises:
        OSError: the folder cannot be made or renamed, or the disk has failed.
    """
    make_folder(target.parent)
    _remove_abandoned(target)
    folder, lock = _make(target)
    try:
        yield folder
        try:
            rename_whole(folder, target)
        except OSError as error:
            if not keep_other or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(target: Path) -> tuple[Path, int]:
    """An unfinished folder and its lock, which ends with this process."""
    while True:
        folder = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
        folder.mkdir()
        # Another process may remove it as abandoned before it is locked.
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        # On a file system without locks, no other process removes it.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned(target: Path) -> None:
    """Removes unfinished folders of processes that have ended."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
