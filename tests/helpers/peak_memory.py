"""What a program takes of memory, which only a process of its own can tell."""

import subprocess
import sys

PEAK = """
import sys
from pathlib import Path
import numpy as np

def peak():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def measured(code: str, *arguments: int) -> list[int]:
    """The integers that the code prints, which may call `peak()`, the most bytes it ever held."""
    command = [sys.executable, "-c", PEAK + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]
