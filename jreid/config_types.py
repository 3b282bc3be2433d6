"""Checks that a config's values have the types of the defaults."""

import sys
from collections.abc import Mapping
from typing import Any

LARGE = 2**63  # integers are smaller, as in numpy and JAX


def wrong_type(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str | None:
    """A sentence on the first field with another type than its default; None if all types fit.

    Fields that only one of the two has are not compared, nor are the values of a list that is
    empty in the defaults. An integer may stand for a float; both must be finite.
    """
    for name in values:
        if name not in defaults:
            continue
        value, default = values[name], defaults[name]
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            inside = wrong_type(value, default)
            if inside:
                return f"{name}.{inside}"
        elif not _fits(value, default):
            return f"{name} is {value!r:.60}, but must be {_needed(default)}"
    return None


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, Mapping):
        return False
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        # An integer beyond the range of floats counts as infinite.
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if isinstance(default, int):
        return isinstance(value, int) and abs(value) < LARGE
    if isinstance(default, tuple | list):
        return isinstance(value, tuple | list) and _all_fit(value, default)
    return isinstance(value, type(default))


def _all_fit(values: tuple | list, defaults: tuple | list) -> bool:
    """A list of one type may have any length; a list of several types has a fixed length."""
    if len({type(default) for default in defaults}) > 1:
        return len(values) == len(defaults) and all(map(_fits, values, defaults))
    return not defaults or all(_fits(value, defaults[0]) for value in values)


def _needed(default: Any) -> str:
    """A description of the type that a field must have, with its default as an example."""
    kinds = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
    if isinstance(default, Mapping):
        return f"a group of fields ({', '.join(default)})"
    return f"{kinds.get(type(default), 'a list')}, such as {default!r}"
