"""Refuses files whose unpacked content does not fit into the machine's memory."""

from pathlib import Path

from jreid.errors import InputError
from jreid.process import machine_memory


def refuse_more_than_memory(path: Path, needed: int) -> None:
    """Raises InputError for a file that needs more bytes than the machine has."""
    there = machine_memory()
    if needed > there:
        raise InputError(
            f"{path} needs {needed / 1e9:,.0f} GB when it is unpacked, but this machine has "
            f"{there / 1e9:,.0f} GB of memory; save fewer features, or use float32."
        )
