"""Config fields on a command line: `--config.seed=1`, or `--config.seed 1`."""

import re
from collections.abc import Sequence

FIELD = re.compile(r"--config\.[\w.]+")  # whose value is the next argument


def joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--config.seed 1` as `--config.seed=1`."""
    whole: list[str] = []
    for argument in arguments:
        if whole and FIELD.fullmatch(whole[-1]) and not argument.startswith("--"):
            whole[-1] += f"={argument}"
        else:
            whole.append(argument)
    return whole
