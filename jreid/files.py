"""Files that are written whole or not at all. Imports nothing of jreid but its errors."""

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
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8; InputError as `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))
