"""Choosing among the protocols: what each leaves to choose, and what a choice is called."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.protocols.folder import folder
from jreid.evaluation.protocols.llcm import llcm, llcm_all, llcm_released_vis_to_ir
from jreid.evaluation.protocols.protocol import DIRECTIONS, Protocol
from jreid.evaluation.protocols.regdb import REGDB_TRIALS, regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01


def protocols(
    name: str,
    split: str = "test",
    *,
    searches: Sequence[str] = ("all",),
    shots: Sequence[int] = (1,),
    directions: Sequence[str] = DIRECTIONS,
    sampling: str = "",
    trials: int = 10,
    cmc: str = "",
    distance: str = "",
    split_number: int = 0,
) -> list[Protocol]:
    """Every combination of the choices that the named protocol has; the others are not read.

    Args:
        sampling: as `cmc` and `distance`: empty for the protocol's own.

    Raises:
        InputError: an unknown name, or a value that the protocol does not have.
    """
    asked = {"search": searches, "shots": shots, "direction": directions, "sampling": [sampling]}
    asked |= {
        "trials": [trials],
        "cmc": [cmc],
        "distance": [distance],
        "split_number": [split_number],
    }
    had = _choices(name)
    return _product(name, split, {field: asked[field] for field in had if asked[field] != [""]})


def choose(name: str, split: str = "test", **given: Any) -> list[Protocol]:
    """The named protocol with these of its choices, in both directions unless one is given.

    Args:
        given: `search`, `shots`, `direction`, `draw`, `trials`, `cmc`, `distance` or `trial`, where
            the protocol has that choice.

    Raises:
        InputError: an unknown name, a choice that the protocol does not have, or such a value.
    """
    had = _choices(name)
    for field in given:
        if field not in had:
            raise InputError(
                f"--{field.replace('_', '-')} is not a choice of {name}, which has "
                f"{', '.join('--' + choice.replace('_', '-') for choice in had)}."
            )
    both: dict[str, Sequence[Any]] = {"direction": DIRECTIONS} if "direction" in had else {}
    return _product(name, split, both | {field: [value] for field, value in given.items()})


def describe(protocol: Protocol) -> str:
    """A protocol for the reader of a table: `indoor, 10-shot` or `infrared to visible`.

    Says what differs from the named protocol's own values, and the name where a dataset has
    several.
    """
    dataset = protocol.name.split("_")[0]
    parts = [] if protocol.split == "test" else [protocol.split]
    if sum(name.split("_")[0] == dataset for name in PROTOCOLS) > 1:
        parts.append(protocol.name)
    if protocol.search:
        parts += [protocol.search, f"{protocol.shots}-shot"]
    else:
        parts.append(protocol.direction.replace("_", " "))
    own = _choices(protocol.name) if protocol.name in PROTOCOLS else {}
    if own.get("sampling", protocol.sampling) != protocol.sampling:
        parts.append("AGW's draw")
    if own.get("cmc", protocol.cmc) != protocol.cmc:
        parts.append(f"CMC by {protocol.cmc}")
    if own.get("distance", protocol.distance) != protocol.distance:
        parts.append(protocol.distance)
    if protocol.split_number:
        parts.append(f"trial {protocol.split_number} of {REGDB_TRIALS}")
    return ", ".join(parts)


def _choices(name: str) -> dict[str, Any]:
    """What can be chosen of a named protocol, and its own values."""
    if name not in PROTOCOLS:
        raise InputError(f"The protocol {name!r} is unknown: choose one of {', '.join(PROTOCOLS)}.")
    parameters = inspect.signature(PROTOCOLS[name]).parameters
    return {field: parameters[field].default for field in parameters if field != "split"}


def _product(name: str, split: str, choices: Mapping[str, Sequence[Any]]) -> list[Protocol]:
    for field, values in choices.items():
        if not values:
            raise InputError(f"The protocol {name} is asked for no {field}: choose one or more.")
    return [
        PROTOCOLS[name](split, **dict(zip(choices, values, strict=True)))
        for values in itertools.product(*choices.values())
    ]


PROTOCOLS: Mapping[str, Callable[..., Protocol]] = {
    rule.__name__: rule
    for rule in (sysu_mm01, regdb, llcm, llcm_released_vis_to_ir, llcm_all, folder)
}
