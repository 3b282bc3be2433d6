"""Configs that earlier versions of jreid recorded, with the fields and values of this one.

Names have changed, and fields were added. The options of a protocol, which is one text today, were
fields of their own.
"""

import itertools
from collections.abc import Mapping
from typing import Any

# Names of fields and values in the records of earlier versions, and today's names. A block with a
# learning rate describes an optimizer of any player.
RENAMED_FIELDS = {
    "data.trial": "split_number",
    "evaluation.draw": "sampling",
    "base_derivative.generator.start": "weight_init",
    "pfinet.transformation.start": "weight_init",
}
RENAMED_OPTIMIZER_FIELDS = {
    "scales": "lr_multipliers",
    "decay": "lr_decay",
    "warmup_start": "warmup_initial",
}
RENAMED_VALUES = {
    ("batch.sampler", "agw"): "identity_uniform",
    ("evaluation.sampling", "agw"): "seeded",
}
# Fields that were added later, with the values that reproduce the earlier behavior.
LATER_FIELDS = {
    "tracker": "none",
    "data": {"depth_range": (), "test_fraction": 0.5, "split_seed": 0, "cache": "encoded"},
    "image": {"gray_infrared": False},
    "idkl": {"purifier": {"epsilon": 0.0}, "follow_batch": False},
    "pfanet": {"gan_images": 0},
}
PFANET_ONLY = ("attention", "bng", "normalization", "mmm")  # of config.backbone

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


def migrated(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded config with today's names, without fields that today only PFANet has.

    Raises:
        ValueError: another method used these fields.
    """
    later = {
        name: later
        for name, later in LATER_FIELDS.items()
        if name in content or not isinstance(later, dict)
    }
    content = filled(_with_texts(_with_new_names(content)), later)
    backbone = content.get("backbone")
    if content.get("method") == "pfanet" or not isinstance(backbone, dict):
        return content
    if {backbone.get("attention", "none"), backbone.get("normalization", "none")} != {"none"}:
        raise ValueError("today only PFANet has attention and normalization in config.backbone")
    kept = {name: value for name, value in backbone.items() if name not in PFANET_ONLY}
    return {**content, "backbone": kept}


def filled(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values; where one is missing, the one of `others`."""
    result = {**others, **values}
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(others.get(name), Mapping):
            result[name] = filled(value, others[name])
    return result


def new_name(field: str) -> str:
    """The full name of a config field today, which is another one if it was renamed."""
    group, dot, last = field.rpartition(".")
    return group + dot + (RENAMED_FIELDS.get(field) or RENAMED_OPTIMIZER_FIELDS.get(last, last))


def _with_new_names(block: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A config of an earlier version with the names and values of this one, of equal meaning."""
    renamed = RENAMED_OPTIMIZER_FIELDS if "learning_rate" in block else {}
    result = {}
    for old, value in block.items():
        name = RENAMED_FIELDS.get(path + old) or renamed.get(old, old)
        if isinstance(value, dict):
            value = _with_new_names(value, f"{path}{name}.")
        elif isinstance(value, str):
            value = RENAMED_VALUES.get((path + name, value), value)
        result[name] = value
    return result


def _with_texts(content: Mapping[str, Any]) -> Mapping[str, Any]:
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
