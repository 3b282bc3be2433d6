"""Paths that users give, which must be local. Imports nothing of jreid but its errors."""

import os
import re
from pathlib import Path

from jreid.errors import InputError

# `gs://bucket`, which pathlib turns into `gs:/bucket`.
SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(path: str, name: str) -> str:
    """The path with `~` and `~user` at its start expanded.

    Args:
        name: of the flag or field, for the error.

    Raises:
        InputError: it is empty, as of a shell variable that is not set; it is a URL; or its home
            directory is not known.
    """
    if not path:
        raise InputError(f"{name} is empty; give a path, or `.` for the current folder.")
    if SCHEME.match(path):
        raise InputError(
            f"{name}={path} is a URL; jreid reads and writes local paths only: mount or copy the "
            "folder, and give its local path."
        )
    expanded = os.path.expanduser(path)
    if expanded.startswith("~") and not os.path.lexists(expanded):
        raise InputError(
            f"{name}={path}: the home directory of {path.split('/')[0]} is not known; give the "
            "full path."
        )
    return expanded


def from_here(path: str | Path) -> str:
    """The path for an error, with the directory that a relative path starts from."""
    return str(path) if os.path.isabs(path) else f"{path} (in {os.getcwd()})"


def require_file(path: Path, remedy: str) -> None:
    """Raises an error unless it is a regular file: opening a pipe or a device may never return.

    Args:
        remedy: what to give instead, for the error.

    Raises:
        InputError: it is missing, a folder, a pipe, a device or a socket.
    """
    if path.is_file():
        return
    if path.is_dir():
        cause = "is a folder, not a file"
    elif path.exists():
        cause = "is a pipe, a device or a socket, not a regular file"
    else:
        cause = "does not exist"
    raise InputError(f"{from_here(path)} {cause}; {remedy}.")
