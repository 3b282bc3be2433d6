"""Older configs, which had a field for each option of a protocol; today a protocol is a text."""

import itertools
from collections.abc import Mapping
from typing import Any

# The options of each protocol, in the order of its result rows: the option's name in the text and
# its name in `config.evaluation`. Fields of other protocols were not read.
DIRECTION = ("direction", "directions")
KINDS = (("cmc", "cmc"), ("distance", "distance"))
CHOICES = {
    "sysu_mm01": (
        *(("search", "searches"), ("shots", "shots"), ("sampling", "sampling")),
        *(("trials", "trials"), *KINDS),
    ),
    "regdb": (DIRECTION, *KINDS),
    "llcm": (DIRECTION, ("trials", "trials"), *KINDS),
    "llcm_released_vis_to_ir": (("trials", "trials"), *KINDS),
    "llcm_all": (DIRECTION, *KINDS),
    "folder": (DIRECTION, *KINDS),
}
# The defaults of these fields. An empty text stood for the protocol's own default.
DEFAULTS = {
    "searches": ("all", "indoor"),
    "shots": (1, 10),
    "directions": ("infrared_to_visible", "visible_to_infrared"),
    "sampling": "",
    "trials": 10,
    "cmc": "",
    "distance": "",
    "k1": 20,
    "k2": 6,
    "rerank_weight": 0.3,
}
# Options that are not written if they have this value.
OPTIONAL = {"sampling": "", "trials": 10, "cmc": "", "distance": ""}
RERANK = {"k1": "k1", "k2": "k2", "lambda": "rerank_weight"}
# The fields that were removed, and the fields that have their values now.
MOVED = {
    "data.protocol": "protocols",
    "evaluation.draw": "protocols",
    **{f"evaluation.{field}": "protocols" for field in DEFAULTS},
    **{f"evaluation.{field}": "evaluation.rerank" for field in RERANK.values()},
}


def with_texts(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded config with its protocols and re-rankings as texts.

    Raises:
        ValueError: it names a protocol that no version had.
    """
    data, evaluation = content.get("data"), content.get("evaluation")
    if not isinstance(data, dict) or not isinstance(evaluation, dict) or "protocol" not in data:
        return content
    fields = {**DEFAULTS, **evaluation}
    kept = {name: value for name, value in evaluation.items() if name not in DEFAULTS}
    return {
        **content,
        "data": {name: value for name, value in data.items() if name != "protocol"},
        "protocols": _protocols(data["protocol"], fields),
        "evaluation": kept | {"rerank": [_rerank(kind, fields) for kind in fields["rerank"]]},
    }


def _protocols(name: str, fields: Mapping[str, Any]) -> list[str]:
    if name not in CHOICES:
        raise ValueError(f"config.data.protocol is {name!r}, which no version of jreid has")
    keys, values = [], []
    for key, field in CHOICES[name]:
        if OPTIONAL.get(key, ()) != fields[field]:
            keys.append(key)
            values.append([fields[field]] if key in OPTIONAL else fields[field])
    return [_text(name, zip(keys, chosen, strict=True)) for chosen in itertools.product(*values)]


def _rerank(kind: str, fields: Mapping[str, Any]) -> str:
    changed = [
        (key, fields[field]) for key, field in RERANK.items() if fields[field] != DEFAULTS[field]
    ]
    return kind if kind == "none" else _text(kind, changed)


def _text(name: str, pairs: Any) -> str:
    options = ",".join(f"{key}={value}" for key, value in pairs)
    return f"{name}:{options}" if options else name
