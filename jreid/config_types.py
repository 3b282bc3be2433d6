"""Checks that a config's values can be kept as JSON, and have the types of the defaults."""

import math
import sys
from collections.abc import Mapping
from typing import Any

LARGE = 2**63  # integers are smaller, as in numpy and JAX


def not_plain(value: Any, field: str = "config") -> str | None:
    """A sentence on the first value that JSON cannot hold; None if it can hold all of them."""
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                return f"{field} has the field {name!r}, whose name is not a text"
        inside = (not_plain(value[name], f"{field}.{name}") for name in value)
    elif isinstance(value, tuple | list):
        inside = (not_plain(item, f"{field}[{place}]") for place, item in enumerate(value))
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{field} is {value}; use a finite number"
    elif value is None or isinstance(value, str | bool | int | float):
        return None
    else:
        kind = type(value).__name__
        return f"{field} is a {kind}; use text, a number, a boolean, a tuple or None"
    return next(filter(None, inside), None)


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
