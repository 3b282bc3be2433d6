"""One grammar for protocols and re-rankings: `name`, or `name:key=value,key=value`.

`name(key=value,key=value)` means the same and is used in result files. A function in a user's own
package is named `package.module.function` or `package.module:function`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.find import nearest

TEXT = re.compile(
    r"\s*(?P<name>[\w.]+)(?::(?P<function>\w+)(?=[(:]|\s*$))?(?:\((?P<inside>.*)\)|:(?P<after>.*))?\s*",
    re.DOTALL,
)
# A comma between two texts of a list: not one inside parentheses, nor one before `key=`.
BETWEEN = re.compile(r",(?![^(]*\))(?!\s*\w+\s*=)")
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
BOOLEANS = {"true": True, "false": False}


class Parsed(NamedTuple):
    """The parts of a text: a name, and the text of each key's value."""

    name: str
    values: dict[str, str]


def split_list(text: str) -> list[str]:
    """The texts of a list separated by commas. A comma before `key=` belongs to the text before it.

    >>> split_list("none,standard:k1=20,k2=6,query_only")
    ['none', 'standard:k1=20,k2=6', 'query_only']
    """
    return BETWEEN.split(text)


def parse(text: str, what: str, example: str) -> Parsed:
    """The parts of a text.

    Args:
        text: as the module describes it.
        what: the noun for messages: `protocol`.
        example: a correct text for messages.

    Raises:
        InputError: it has another form, a key has no value, or a key is given twice.

    >>> parse("standard:k1=20,k2=6", "re-ranking", "standard")
    Parsed(name='standard', values={'k1': '20', 'k2': '6'})
    """
    found = TEXT.fullmatch(text)
    if not found:
        raise InputError(
            f"{text!r} is not understood as a {what}; write each {what} separately, as in "
            f"{example}."
        )
    name, function = found["name"], found["function"]
    pairs = found["inside"] if found["after"] is None else found["after"]
    if function and pairs is None and "." not in name:
        function, pairs = None, function  # a key without a value
    values: dict[str, str] = {}
    for pair in (pairs or "").split(",") if pairs or found["after"] == "" else ():
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value):
            raise InputError(
                f"{text}: {_what_is_missing(key, equals, value)}; write key=value, as in {example}."
            )
        if key in values:
            raise InputError(f"{text}: {key} is given twice; give it once.")
        values[key] = value
    return Parsed(f"{name}.{function}" if function else name, values)


def convert(text: str, parsed: Parsed, types: Mapping[str, type]) -> dict[str, Any]:
    """The values, converted to the types of their keys.

    Args:
        text: the whole text, for messages.
        parsed: its parts.
        types: by key: str, int, float or bool.

    Raises:
        InputError: an unknown key, or a value of another type.
    """
    result = {}
    for key, value in parsed.values.items():
        if key not in types:
            raise InputError(f"{text}: {parsed.name} has no {key}{_instead(key, types)}.")
        try:
            result[key] = _value(value, types[key])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{text}: {key} is {value!r}, but must be {KINDS[types[key]]}."
            ) from error
    return result


def read_number(text: str, kind: type) -> Any:
    """The int or float of a text in ASCII; ValueError for another, also one with underscores."""
    if not text.isascii() or "_" in text:
        raise ValueError(text)  # Python reads 1_000, too
    return kind(text)


def _what_is_missing(key: str, equals: str, value: str) -> str:
    if key:
        return f"{key} has no value"
    return f"{equals}{value} has no key" if equals else "a key is missing after the colon or comma"


def _instead(key: str, keys: Iterable[str]) -> str:
    keys = [*keys]
    if not keys:
        return ", and takes no key"
    return f"; did you mean {nearest(key, keys)}? It has {', '.join(keys)}"


def _value(text: str, kind: type) -> Any:
    if kind is bool:
        return BOOLEANS[text.lower()]
    return text if kind is str else read_number(text, kind)
