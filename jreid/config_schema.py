"""The JSON schema of a config: a field's type and default from its value, and its comment."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jreid.find import OUTSIDE

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {  # the first that fits: True is an int, too
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Mapping: "object",
}


def schema(
    values: Mapping[str, Any],
    title: str,
    comment: Callable[[str], str],
    choices: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    """The schema of a config as in a run's `config.json`, which is an object of objects.

    Args:
        values: the config's.
        title: of the schema.
        comment: the comment of a field such as `image.size`; empty where there is none.
        choices: the texts that a field, or each item of a list, may be.
    """
    return {"$schema": DIALECT, "title": title, **_object(values, "", comment, choices)}


def _object(
    values: Mapping[str, Any],
    path: str,
    comment: Callable[[str], str],
    choices: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, value in values.items():
        field = f"{path}{name}"
        if isinstance(value, Mapping):
            properties[name] = _object(value, f"{field}.", comment, choices)
        else:
            properties[name] = _type(value, choices.get(field)) | {"default": value}
        if text := comment(field):
            properties[name]["description"] = text
    return {
        "type": "object",
        "properties": properties,
        "required": [*values],
        "additionalProperties": False,
    }


def _type(value: Any, choices: Iterable[str] | None) -> dict[str, Any]:
    """A list of one type may have any length; a list of several types has a fixed length.

    A field that is None may get a value of any type.
    """
    if value is None:
        return {}
    if not isinstance(value, tuple | list):
        kind = next(name for kind, name in TYPES.items() if isinstance(value, kind))
        return {"type": kind} | ({} if choices is None else _one_of([*choices]))
    items = [_type(item, choices) for item in value]
    if not items:
        return {"type": "array"}
    if all(item == items[0] for item in items):
        return {"type": "array", "items": items[0]}
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _one_of(choices: list[str]) -> dict[str, Any]:
    own = {"enum": [choice for choice in choices if choice != OUTSIDE]}
    return {"anyOf": [own, {"pattern": r"\."}]} if OUTSIDE in choices else own
