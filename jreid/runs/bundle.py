"""A bundle: a run's model to hand on, without optimizer state and without paths of this machine.

It is a run's folder with `model.safetensors` in place of its checkpoints, a card (`README.md`), and
`SHA256SUMS`. So what reads a run reads a bundle, and nothing writes into it.
"""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import safetensors.numpy
from jax.sharding import NamedSharding

from jreid import config as configs
from jreid.engine.state import TrainState
from jreid.errors import InputError
from jreid.files import make_folder, rename_whole, write_text, write_whole
from jreid.methods import Config, Variables
from jreid.runs import manifest
from jreid.runs.arrays import by_path, require_same
from jreid.runs.checkpoint_folder import Chosen

WEIGHTS = "model.safetensors"
CARD = "README.md"
NEEDED = ("config.json", "run.json", WEIGHTS)
FILES = (*NEEDED, "result.json", CARD, manifest.MANIFEST)  # that a bundle may have
PUBLISHED = "published"  # the field of run.json with the checkpoint
# Fields of a run's record that say nothing of the machine or of people.
OF_RECORD = (
    *("method", "dataset", "seed", "revision", "versions", "data_fingerprint", "steps", "table"),
    "protocols",
)
log = logging.getLogger(__name__)


def require_sound(folder: Path) -> None:
    """Raises InputError unless each file of a bundle is as it was published."""
    fault = manifest.fault_of_listed(folder, NEEDED)
    if fault:
        raise InputError(
            f"{folder} is a damaged bundle: {fault}; copy or download it again, or publish the run "
            "again."
        )


class BundleWeights:
    """The one checkpoint of a bundle, with the methods of `Checkpoints` that read."""

    def __init__(self, folder: Path, published: Mapping[str, Any]) -> None:
        """`published`: the field of the record that `write_bundle` made."""
        self._folder, self._published = folder, published

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint, if it is of the kind `last` or `best`."""
        if self._published["checkpoint"] != kind:
            return Chosen(None, None, "")
        step = self._published["step"]
        return Chosen(step, step, self._published["weights"])

    def restore_variables(self, step: int, like: TrainState, sharding: NamedSharding) -> Variables:
        """The model's variables on the devices; InputError if they are of another network."""
        file = self._folder / WEIGHTS
        try:
            arrays = safetensors.numpy.load(file.read_bytes())
        except Exception as error:  # safetensors raises several kinds for a file that is none
            raise InputError(f"{file} cannot be read ({error}); download it again.") from error
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
    copy = config.copy_and_resolve_references()
    copy.data.update(folder=f"data/{config.data.name}", prepared="data/prepared")
    if not config.weights.isidentifier():
        copy.weights = "none"
    for field, value in configs.flat(copy.to_dict()).items():
        if isinstance(value, str) and (os.path.isabs(value) or value.startswith("~")):
            log.warning("config.%s=%s goes into the bundle: a path of this machine.", field, value)
    return copy.lock()


def record_of(record: Mapping[str, Any], config: Config, published: Mapping[str, Any]) -> Any:
    """The `run.json` of a bundle, from the run's record.

    Args:
        published: the result row's fields on the checkpoint, with the whole hash of the weights.
    """
    start = record.get("start") or {}
    return {
        **{name: record[name] for name in OF_RECORD if name in record},
        "config": config.to_dict(),
        "start": {name: start[name] for name in ("kind", "sha256") if name in start},
        "drifts": [{"step": drift["step"]} for drift in record.get("drifts", [])],
        PUBLISHED: dict(published),
    }


def write_bundle(output: Path, variables: Variables, texts: Mapping[str, str]) -> None:
    """Writes a bundle, completely or not at all.

    Args:
        output: a folder that does not exist.
        variables: of the model.
        texts: the content of the other files, by name.

    Raises:
        InputError: the folder exists, or cannot be written.
    """
    if os.path.lexists(output):
        raise InputError(f"{output} exists; choose another --output, nothing is overwritten.")
    leaves = by_path(jax.device_get(variables))
    arrays = {path: np.asarray(leaf, order="C") for path, leaf in leaves.items()}
    part = output.with_name(f".{output.name}.{secrets.token_hex(4)}.unfinished")
    try:
        make_folder(part)
        for name, text in texts.items():
            write_text(part / name, text)
        weights = safetensors.numpy.save(arrays, {"format": "jreid"})
        write_whole(part / WEIGHTS, lambda file: file.write(weights))
        manifest.seal(part)
        rename_whole(part, output)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{output} cannot be written ({getattr(error, 'strerror', None) or error}); free space "
            "or choose another --output."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
