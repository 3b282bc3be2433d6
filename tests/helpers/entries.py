"""The arrays of a published checkpoint as a text file: a line for each, its name and its shape."""

from collections.abc import Mapping
from typing import Any


def listed(state: Mapping[str, Any]) -> list[str]:
    """The lines for a state dict; to write a file anew: `"\\n".join(listed(state)) + "\\n"`."""
    return sorted(f"{n} {'x'.join(map(str, v.shape))}".strip() for n, v in state.items())
