"""Configs as the version before protocols were texts wrote them."""

from collections.abc import Mapping
from typing import Any

EVALUATION = {
    "searches": ["all", "indoor"],
    "shots": [1, 10],
    "directions": ["infrared_to_visible", "visible_to_infrared"],
    "sampling": "",
    "trials": 10,
    "cmc": "",
    "distance": "",
    "rerank": ["none", "standard"],
    "k1": 20,
    "k2": 6,
    "rerank_weight": 0.3,
}


def as_written_before(config: Any, protocol: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """A config of today with the fields of that version; `evaluation` is not as by default."""
    content = config.to_dict()
    del content["protocols"], content["tracker"]
    content["data"]["protocol"] = protocol
    content["evaluation"] |= EVALUATION | evaluation
    return content
