"""A bundle: a run's model to hand on, without optimizer state and without paths of this machine.

It is a run's folder with `model.safetensors` in place of its checkpoints, a card (`README.md`), and
`SHA256SUMS`. So what reads a run reads a bundle, and nothing writes into it.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import safetensors.numpy
from jax.sharding import NamedSharding

from jreid import config as configs
from jreid.data.whole_folder import whole_folder
from jreid.engine.state import TrainState
from jreid.errors import InputError
from jreid.methods import Config, Variables
from jreid.runs import manifest
from jreid.runs.arrays import by_path, require_same
from jreid.runs.checkpoint_folder import CHECKPOINTS, Chosen
from jreid.runs.record import marks_of_record

WEIGHTS = "model.safetensors"
CARD = "README.md"
NEEDED = ("config.json", "run.json", WEIGHTS)
FILES = (*NEEDED, "result.json", CARD, manifest.MANIFEST)  # that a bundle may have
PUBLISHED = "published"  # the field of run.json with the checkpoint
# The fields of `published` that are read, and what they must be; earlier bundles have no sha256.
OF_PUBLISHED: Mapping[str, Callable[[Any], bool]] = {
    "checkpoint": lambda value: value in CHECKPOINTS,
    "step": lambda value: type(value) is int and value >= 0,
    "weights": lambda value: isinstance(value, str),
    "sha256": lambda value: value is None or isinstance(value, str),
}
# Fields of a run's record that say nothing of the machine or of people.
OF_RECORD = (
    *("method", "dataset", "seed", "revision", "versions", "data_fingerprint", "steps", "table"),
    "protocols",
)
log = logging.getLogger(__name__)


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, also if one of its files is missing."""
    marks = [(folder / name).is_file() for name in (WEIGHTS, manifest.MANIFEST)]
    return all(marks) or (any(marks) and not (folder / "checkpoints").exists())


def require_sound(folder: Path) -> None:
    """Raises InputError unless each file of a bundle is as it was published."""
    fault = manifest.fault_of_listed(folder, NEEDED)
    if fault:
        raise InputError(
            f"{folder} is a damaged bundle: {fault}; copy or download it again, or publish the run "
            "again."
        )


def _require_published(file: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The field of a bundle's record with its checkpoint, checked; InputError if it is unusable."""
    published = record.get(PUBLISHED)
    if isinstance(published, dict):
        wrong = [name for name, holds in OF_PUBLISHED.items() if not holds(published.get(name))]
        if not wrong:
            return published
        fault = f"its {PUBLISHED}.{wrong[0]} is {published.get(wrong[0])!r:.50}"
    else:
        fault = f"it has no {PUBLISHED}"
    raise InputError(
        f"{file} is not of a bundle that `jreid publish` wrote ({fault}); download the bundle "
        "again, or publish the run again."
    )


class BundleWeights:
    """The one checkpoint of a bundle, with the methods of `Checkpoints` that read."""

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        """InputError if the record, the content of the bundle's `run.json`, has no checkpoint."""
        self._folder = folder
        self._published = _require_published(folder / "run.json", record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint, if it is of the kind `last` or `best`."""
        if self._published["checkpoint"] != kind:
            return Chosen(None, None)
        return Chosen(self._published["step"], self._published["step"])

    def weights(self, step: int) -> str:
        """SHA-256 of the model's arrays in the run, as published; there is one step."""
        return self._published["weights"]

    def restore_variables(self, step: int, like: TrainState, sharding: NamedSharding) -> Variables:
        """The model's variables on the devices.

        Raises:
            InputError: the file cannot be read, or holds other weights than those that were
                published, or those of another network.
        """
        file = self._folder / WEIGHTS
        try:
            content = file.read_bytes()
            arrays = safetensors.numpy.load(content)
        except Exception as error:  # safetensors raises several kinds for a file that is none
            raise InputError(f"{file} cannot be read ({error}); download it again.") from error
        if self._published.get("sha256") not in (None, sha256(content)):
            raise InputError(
                f"{file} holds other weights than those that run.json says were published; "
                "download the bundle again."
            )
        variables = {"params": like.params, **like.model_state}
        require_same(file, by_path(variables), arrays)
        leaves = [arrays[path] for path in by_path(variables)]
        return jax.device_put(jax.tree.unflatten(jax.tree.structure(variables), leaves), sharding)


def portable(config: Config) -> Config:
    """The config without paths of this machine: the data's default folders, no file of weights.

    Raises:
        InputError: the name of the dataset could lead out of these folders.
    """
    if not re.fullmatch(r"[\w-][\w.-]*", config.data.name):
        raise InputError(
            f"config.data.name={config.data.name!r} is not a plain name, so this model cannot be "
            "published or read as a bundle; use letters, digits, dots and hyphens."
        )
    return without_paths(config)


def without_paths(config: Config) -> Config:
    """The config with the data's default folders, and without the path of a file of weights."""
    copy = config.copy_and_resolve_references()
    copy.data.update(folder=f"data/{config.data.name}", prepared="data/prepared")
    if not config.weights.isidentifier():
        copy.weights = "none"
    return copy.lock()


def warn_of_paths(config: Config, output: Path) -> None:
    """Logs the fields of a config that are paths of this machine and go into a file or folder."""
    for field, value in configs.flat(config.to_dict()).items():
        if isinstance(value, str) and (os.path.isabs(value) or value.startswith("~")):
            log.warning("config.%s=%s, a path of this machine, is in %s.", field, value, output)


def record_of(record: Mapping[str, Any], config: Config, published: Mapping[str, Any]) -> Any:
    """The `run.json` of a bundle, from the run's record.

    Args:
        published: the result row's fields on the checkpoint, with the whole hash of the weights
            in the run, and `sha256` of the file of weights.
    """
    start = record.get("start") or {}
    return {
        **{name: record[name] for name in OF_RECORD if name in record},
        "config": config.to_dict(),
        "start": {name: start[name] for name in ("kind", "name", "sha256") if name in start},
        "drifts": [{"step": drift["step"], "changed": []} for drift in record.get("drifts", [])],
        "trained_on_unknown": bool(marks_of_record(record)),
        PUBLISHED: dict(published),
    }


def packed(variables: Variables) -> bytes:
    """The content of the file of a model's variables."""
    leaves = by_path(jax.device_get(variables))
    arrays = {path: np.asarray(leaf, order="C") for path, leaf in leaves.items()}
    return safetensors.numpy.save(arrays, {"format": "jreid"})


def sha256(content: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_bundle(output: Path, weights: bytes, texts: Mapping[str, str]) -> None:
    """Writes a bundle, completely or not at all.

    Args:
        output: a folder that does not exist.
        weights: the variables of the model, `packed`.
        texts: the content of the other files, by name.

    Raises:
        InputError: the folder exists, or cannot be written.
    """
    if os.path.lexists(output):
        raise InputError(f"{output} exists; choose another --output, nothing is overwritten.")
    try:
        with whole_folder(output, keep_other=False) as folder:
            for name, text in texts.items():
                (folder / name).write_bytes(text.encode())
            (folder / WEIGHTS).write_bytes(weights)
            manifest.seal(folder)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written ({error.strerror or error}); free space or choose another "
            "--output."
        ) from error
