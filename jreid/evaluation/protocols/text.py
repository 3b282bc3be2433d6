"""Protocols as text, such as `sysu_mm01:search=all,shots=1`, and their names in tables."""

import inspect
import json
from collections.abc import Iterable
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.protocols import PROTOCOLS
from jreid.evaluation.protocols.protocol import Protocol, Rule, validated
from jreid.evaluation.protocols.regdb import REGDB_TRIALS
from jreid.evaluation.text import convert, parse
from jreid.find import call, find_symbol

EXAMPLE = "sysu_mm01:search=all,shots=1"


def read_protocols(
    texts: Iterable[str], split: str = "test", **settings: int | str
) -> dict[Protocol, str]:
    """The protocols of the texts, and the text of each, in their order.

    Raises:
        InputError: as `read_protocol`, or two texts give the same protocol.

    >>> [protocol.shots for protocol in read_protocols(["sysu_mm01", "sysu_mm01:shots=10"])]
    [1, 10]
    """
    result: dict[Protocol, str] = {}
    for text in texts:
        protocol = read_protocol(text, split, **settings)
        if protocol in result:
            raise InputError(
                f"{result[protocol]} and {text} are the same protocol; leave one of them out."
            )
        result[protocol] = text
    return result


def read_protocol(text: str, split: str = "test", **settings: int | str) -> Protocol:
    """The protocol of a text.

    Args:
        text: one of `PROTOCOLS`, or the dotted name of a `Rule` outside of jreid, and values of its
            parameters; the others have the rule's defaults. `split` is the next argument.
        split: `test` or `validation`.
        settings: parameters that the dataset gives to the rules that have them: its layout, as
            `dataset`, for jreid's own rules; and RegDB's `split_number` or MP-ReID's `experiment`.

    Raises:
        InputError: the text is not understood, no rule has this name, the rule does not have a key
            or a value, a setting differs; or an outside rule cannot be imported or used.

    >>> read_protocol("sysu_mm01:search=indoor,shots=10").gallery_cameras
    (1, 2)
    >>> read_protocol("sysu_mm01:shot=10")
    Traceback (most recent call last):
    ...
    jreid.errors.InputError: sysu_mm01:shot=10: sysu_mm01 has no shot; did you mean shots? ...
    """
    parsed = parse(text, "protocol", EXAMPLE)
    rule = find_symbol("protocol", parsed.name, PROTOCOLS)
    types = _types(parsed.name, rule)
    values = convert(text, parsed, types)
    own = rule is PROTOCOLS.get(parsed.name)
    for name, value in settings.items():
        takes_it = name in types and (own or name != "dataset")
        if value and takes_it and values.setdefault(name, value) != value:
            raise InputError(
                f"{text} is for {name}={values[name]}, but the dataset has {name}={value}; leave "
                f"{name} out."
            )
    if own:
        return rule(split, **values)
    return _call_outside(parsed.name, rule, split, values)


def describe(protocol: Protocol) -> str:
    """The label of a protocol in tables, such as `indoor, 10-shot` or `infrared to visible`.

    Names what differs from the rule's defaults, and the rule if a dataset has several. Another
    split than `test` comes first.

    >>> describe(read_protocol("sysu_mm01:search=indoor,sampling=seeded"))
    'indoor, 1-shot, seeded sampling'
    """
    dataset = protocol.name.split("_")[0]
    rule = PROTOCOLS.get(protocol.name)
    parameters = inspect.signature(rule).parameters if rule else {}
    several = sum(name.split("_")[0] == dataset for name in PROTOCOLS) > 1
    parts = [] if protocol.split == "test" else [protocol.split]
    if several or not {"search", "direction"} & {*parameters}:
        parts.append(protocol.name)
    if protocol.search:
        parts += [protocol.search, f"{protocol.shots}-shot"]
    else:
        parts.append(protocol.experiment or protocol.direction.replace("_", " "))
    own = {name: parameter.default for name, parameter in parameters.items()}
    if protocol.share is not None:
        parts.insert(-1, f"mixed {protocol.share:g}")
        if own.get("images") != protocol.images:
            parts.append(f"{protocol.images} images")
        if own.get("queries") != protocol.queries:
            parts.append(f"{protocol.queries} queries")
    if own.get("sampling", protocol.sampling) != protocol.sampling:
        parts.append(f"{protocol.sampling} sampling")
    if own.get("cmc", protocol.cmc) != protocol.cmc:
        parts.append(f"CMC by {protocol.cmc}")
    if own.get("distance", protocol.distance) != protocol.distance:
        parts.append(protocol.distance)
    if protocol.split_number:
        parts.append(f"trial {protocol.split_number} of {REGDB_TRIALS}")
    return ", ".join(parts)


def _types(name: str, rule: Rule) -> dict[str, type]:
    """The parameters that a text may set, and their types."""
    try:
        parameters = inspect.signature(rule, eval_str=True).parameters
    except Exception as error:  # an annotation may raise anything
        raise _unusable(name, f"has a signature that cannot be read ({error})") from error
    if "split" not in parameters:
        raise _unusable(name, "has no parameter split")
    types = {
        key: type(one.default) if one.annotation is one.empty else one.annotation
        for key, one in parameters.items()
        if key != "split"
    }
    return {key: kind for key, kind in types.items() if kind in (str, int, float, bool)}


def _call_outside(name: str, rule: Rule, split: str, values: dict[str, Any]) -> Protocol:
    """Calls a rule outside of jreid, and checks that it returns a Protocol of plain values."""
    protocol = call(f"The protocol {name}", rule, Protocol, split, **values)
    try:
        json.dumps([hash(protocol), protocol])
    except TypeError as error:
        raise _unusable(name, f"returns values that are not plain ({error})") from error
    if protocol.split != split:
        raise _unusable(
            name, f"returns a Protocol of the split {protocol.split!r} for the split {split!r}"
        )
    return validated(protocol)


def _unusable(name: str, why: str) -> InputError:
    return InputError(
        f"The protocol {name} {' '.join(why.split())}; it must be a function with a parameter "
        "split that returns a jreid.evaluation.Protocol."
    )
