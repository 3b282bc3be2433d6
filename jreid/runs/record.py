"""The record of a run, `run.json`: its config, its data, and what its numbers come from."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.distributed.mesh import devices
from jreid.errors import InputError
from jreid.files import read_limited
from jreid.find import outside_version
from jreid.methods import Config
from jreid.versions import PACKAGES, TENSORFLOW, installed, revision

# The fields that a record must have, and those that it may have.
RECORD = {"config": dict, "data_fingerprint": str | None, "versions": dict, "drifts": list}
NEWER_RECORD = {
    "start": dict | None,
    "steps": int | None,
    "revision": str | None,
    "trained_on_unknown": bool | None,
}


def read_record(file: Path) -> dict[str, Any]:
    """The content of a `run.json`; empty if there is no file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        record = json.loads(read_limited(file).decode())
        fault = _fault(record)
        if fault:
            raise ValueError(fault)
        return record
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file} cannot be read ({error}); restore the file that `jreid train` wrote, or "
            "remove it and give the same `jreid train` again, which then marks its results."
        ) from error


def _fault(record: Any) -> str:
    """The fault in the content of a `run.json`; empty if it can be used."""
    if not isinstance(record, dict):
        return "it is not a JSON object"
    for name, kind in (RECORD | NEWER_RECORD).items():
        if name in RECORD and name not in record:
            return f"it has no {name}"
        if not isinstance(record.get(name), kind):
            return f"its {name} has the wrong type"
    values = [*record["versions"].values(), *(record.get("start") or {}).values()]
    if any(isinstance(value, dict | list) for value in values):
        return "its versions or its start contain values that are not text"
    for drift in record["drifts"]:
        if not isinstance(drift, dict) or type(drift.get("step")) is not int:
            return "its drifts have no step"
        if not isinstance(drift.get("changed", []), list):
            return "its drifts do not list what changed"
    return ""


def provenance(config: Config) -> dict[str, Any]:
    """The fields of a result that record where it comes from."""
    versions = installed((*PACKAGES, *TENSORFLOW))
    versions |= dict(map(outside_version, configs.outside_names(config).values()))
    return {
        "method": config.method,
        "dataset": config.data.name,
        "seed": config.seed,
        "revision": revision(),
        "versions": {"python": platform.python_version(), **versions},
        "device": devices(),
        "processes": jax.process_count(),
        "command": shlex.join(sys.argv),
    }


def machine_changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Differences in the software and the device, one line for each."""

    def machine(record: Mapping[str, Any]) -> dict[str, Any]:
        versions = record.get("versions", {})
        return {"revision": record.get("revision"), "device": record.get("device"), **versions}

    then = machine(before) if before else {}
    return [
        f"{name}: {value}, {then[name]}"
        for name, value in machine(now).items()
        if then.get(name) not in (None, value)
    ]


def drawn_split(dataset: Dataset) -> dict[str, list[str]] | None:
    """The names of the identities in each split, if jreid drew the splits."""
    if not dataset.drawn_split:
        return None
    members = {*zip(dataset.table.split.tolist(), dataset.table.identity.tolist(), strict=True)}
    split: dict[str, list[str]] = {}
    for part, identity in sorted(members):
        split.setdefault(part, []).append(dataset.names.get(identity, str(identity)))
    return split


def first_weights(record: Mapping[str, Any]) -> dict[str, Any]:
    """The field `start` of a result: a run's first weights, without their path on this machine."""
    start = record.get("start") or {}
    fields = {name: value for name, value in start.items() if name != "path"}
    return {"start": fields} if fields else {}


def marks_of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """`trained_on_unknown` for the rows of a run whose weights may come from its test images.

    So it is if the run that it started from could not be compared with its test split, or if its
    data changed after the first step. A bundle's record says it; other records have what happened.
    """
    start = record.get("start") or {}
    of_start = start.get("trained_on_unknown", start.get("kind") == "run")
    moved = any(
        drift["step"] > 0 and str(change).startswith("data: ")
        for drift in record.get("drifts", [])
        for change in drift.get("changed", [])
    )
    unknown = record.get("trained_on_unknown", of_start or moved)
    return {"trained_on_unknown": True} if unknown else {}


def describe_start(start: Mapping[str, Any]) -> str:
    """A description of the weights in a `Start.record`."""
    path = start.get("path")
    if start.get("kind") == "run":
        return f"the {start.get('checkpoint')} checkpoint of {path}"
    return {"file": f"the weights of {path}", "import": f"{path}, which was imported"}.get(
        start.get("kind", ""), "random weights"
    )
