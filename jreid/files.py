"""Files that are written whole or not at all. Imports nothing of jreid but its errors."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jreid.errors import InputError


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under another name and then renames it; its folder is made if need be.

    Raises:
        InputError: the file cannot be written; what was there before is still there.
    """
    if not path.name or os.path.isdir(path):
        raise InputError(f"{path} is a folder; name a file.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); make room or choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # its folder may not be one
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8; InputError as `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))
