"""The weights that a run starts from: their source, and how they are loaded."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from jreid.distributed.processes import on_main_process
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.files import sha256_of
from jreid.methods import Variables
from jreid.runs.arrays import shape_of
from jreid.runs.check_config import check_config
from jreid.runs.chosen import checkpoint_variables, choose, open_checkpoints
from jreid.runs.run import Run

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """The weights that a run starts from.

    Attributes:
        fill: loads them into initial variables.
        record: for `run.json`: `kind` (`random`, `file`, `run` or `import`); unless random, `path`
            and `sha256`; for a run also `checkpoint` and `step`, the `data_fingerprint` of its data
            and `trained_on_unknown`, whether these cannot be compared with the new run's test; for
            a published file also `name` and, from a hub, `revision`.
    """

    fill: Callable[[Variables], Variables]
    record: Mapping[str, Any]

    def with_fields(self, fields: Mapping[str, Any]) -> "Start":
        """The same start with more fields in its record."""
        return self._replace(record={**self.record, **fields})


RANDOM = Start(lambda variables: variables, {"kind": "random"})


def start_of_file(path: Path, fill: Callable[[Variables], Variables], kind: str = "file") -> Start:
    """The start from the weights of a file, or of an `import`."""
    digest = on_main_process(lambda: sha256_of(path))
    return Start(fill, {"kind": kind, "path": str(path.resolve()), "sha256": digest})


def start_of_run(other: Path, kind: str) -> Start:
    """The start from the weights of another run; logs for each array whether it was loaded.

    Args:
        other: its working directory.
        kind: `last` or `best`, its checkpoint.

    Raises:
        InputError: there is no run, or it has no such undamaged checkpoint.
    """
    run = Run(other)
    run.config()  # raises if there is no run
    with open_checkpoints(run) as checkpoints:
        step = choose(checkpoints, run, kind)["step"]
        weights = checkpoints.weights(step)

    def fill(variables: Variables) -> Variables:
        loaded = load_matching(variables, other, kind)
        if not weights.startswith(loaded.weights):
            raise InputError(
                f"{other} saved another {kind} checkpoint while this run started; give the same "
                "command again."
            )
        log.info("%s: %d arrays are loaded", other, len(loaded.loaded))
        for line in loaded.mismatched:
            log.info("not loaded: %s", line)
        for path in loaded.missing:
            log.info("not in that run: %s, which keeps its initial values", path)
        return loaded.variables

    return Start(fill, {**place_of_run(other, kind), "sha256": weights, "step": step})


def place_of_run(other: Path, kind: str) -> dict[str, Any]:
    """The path, checkpoint and kind that `start_of_run` records; the run need not exist now."""
    return {"kind": "run", "path": str(other.resolve()), "checkpoint": kind}


class Loaded(NamedTuple):
    """Which arrays of another run were loaded.

    Attributes:
        variables: initial variables, with the loaded arrays in their places.
        loaded: paths of the loaded arrays.
        mismatched: a line for each array that was not loaded, with both shapes: the new run keeps
            its own array, or has no array of that path.
        missing: paths of the new run that the other run does not have.
        weights: 12 digits of the hash of the other run's arrays.
    """

    variables: Variables
    loaded: list[str]
    mismatched: list[str]
    missing: list[str]
    weights: str


def load_matching(variables: Variables, other: Path, kind: str) -> Loaded:
    """Loads the arrays of another run's checkpoint into initial variables.

    An array is loaded if its path, type and shape are the same: with another number of classes, for
    example, all arrays except the classifier.

    Args:
        variables: of the new run.
        other: the working directory of the other run.
        kind: `last` or `best`, its checkpoint.

    Raises:
        InputError: there is no such checkpoint, it is damaged, or none of its arrays fits.
    """
    run = Run(other)
    config = run.config()
    check_config(config)
    model = Model(config)
    there, checkpoint = checkpoint_variables(model, run, kind)
    found: Any = jax.device_get(there)
    ours, theirs = flatten_dict(variables, sep="/"), flatten_dict(found, sep="/")
    same = {
        path for path in theirs if path in ours and shape_of(ours[path]) == shape_of(theirs[path])
    }
    loaded = [path for path in theirs if path in same]
    if not loaded:
        raise InputError(
            f"no array of {other} fits this config's network; give one of the same method and "
            "backbone as --init-from."
        )
    mismatched = [
        f"{path}: {shape_of(theirs[path])} in that run, "
        f"{shape_of(ours[path]) if path in ours else 'none'} in this one"
        for path in theirs
        if path not in same
    ]
    filled = ours | {path: theirs[path] for path in loaded}
    missing = [path for path in ours if path not in theirs]
    whole = unflatten_dict(filled, sep="/")
    return Loaded(whole, loaded, mismatched, missing, checkpoint["weights"])
