"""The checkpoints of a run that results are of: the last one, and the best on validation."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

from jreid import config as configs
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.methods import Config, Variables
from jreid.progress import explained
from jreid.runs.arrays import digest
from jreid.runs.bundle import BundleWeights
from jreid.runs.checkpoint_folder import CHECKPOINTS, Chosen
from jreid.runs.run import Run

# Fields that change the features of the same weights, for methods that have them.
EXTRACTION = (
    "method",
    "dtype",
    "pooling",
    "image.size",
    "image.resize",
    "image.gray_visible",
    "image.gray_infrared",
    "evaluation.flip",
)


class Folders(Protocol):
    """Access to a run's checkpoints: `Checkpoints` or `StepFolders`."""

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint of a kind."""
        ...

    def weights(self, step: int) -> str:
        """SHA-256 of the model's arrays of a step."""
        ...


def checkpoint_fields(folders: Folders, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a row that describe its checkpoint, for each kind that the run has.

    Args:
        record: of the run, with the number of steps after which it is finished.

    Returns:
        `checkpoint`: `last` or `best`; `step`; `asked_step`: which it would be if none were
        damaged; `fallback`: whether the two differ; `of_steps`: the run's last step, None where it
        is not known; `weights`: 12 digits of the hash of the model's arrays.
    """
    chosen = {kind: folders.chosen(kind) for kind in CHECKPOINTS}
    return [
        {
            "checkpoint": kind,
            "step": one.step,
            "asked_step": one.asked_step,
            "fallback": one.step != one.asked_step,
            "of_steps": record.get("steps"),
            "weights": folders.weights(one.step)[:12],
        }
        for kind, one in chosen.items()
        if one.step is not None
    ]


def open_checkpoints(run: Run) -> Any:
    """The checkpoints of a run, or the one of a bundle, to read: a context manager."""
    if run.is_bundle:
        return BundleWeights(run.workdir, run.record())
    from jreid.runs.checkpoints import Checkpoints  # imports Orbax, which takes seconds

    return Checkpoints(run.checkpoints)


def choose(checkpoints: Folders, run: Run, kind: str) -> dict[str, Any]:
    """The `checkpoint_fields` of the checkpoint of a kind; a bundle's only one is its last, too.

    Raises:
        InputError: there is none.
    """
    of_kinds = checkpoint_fields(checkpoints, run.record())
    if run.is_bundle and kind == "last":
        return of_kinds[0]
    for fields in of_kinds:
        if fields["checkpoint"] == kind:
            return fields
    if run.is_bundle:
        remedy = "this bundle has its run's last one, which is the default"
    else:
        remedy = (
            "a run has 'last' after training, and 'best' if its config holds out validation "
            "identities"
        )
    raise InputError(f"{run.workdir} has no {kind} checkpoint; {remedy}.")


def checkpoint_variables(model: Model, run: Run, kind: str) -> tuple[Variables, dict[str, Any]]:
    """The variables of the checkpoint of a kind, and its fields for result rows."""
    with open_checkpoints(run) as checkpoints:
        return chosen_variables(checkpoints, model, run, kind)


def chosen_variables(
    checkpoints: Any, model: Model, run: Run, kind: str
) -> tuple[Variables, dict[str, Any]]:
    """As `checkpoint_variables`, of `open_checkpoints`.

    While these are open, the step that was chosen stays; a run that trains may save another one.
    """
    with explained(f"loading the {kind} checkpoint of {run.workdir}"):
        fields = choose(checkpoints, run, kind)
        with run.explain_revision():
            variables = checkpoints.restore_variables(
                fields["step"], model.shapes(), model.sharding
            )
    return variables, fields


def model_id(run: Run, variables: Variables, config: Config | None = None) -> str:
    """SHA-256 of a run's config and of its checkpoint: embeddings of equal ones are comparable.

    Args:
        config: used to embed, None for the run's own; if it extracts features otherwise than that,
            the hash differs.
    """
    # Of the arrays themselves: a bundle only says which weights it has.
    made_by = f"{configs.digest_as_written(run.config_file)} {digest(variables)}"
    if config and (extraction := extraction_of(config)) != extraction_of(run.config()):
        made_by += f" {json.dumps(extraction, sort_keys=True)}"
    return hashlib.sha256(made_by.encode()).hexdigest()


def extraction_of(config: Config) -> dict[str, Any]:
    """The fields that decide how features are extracted."""
    fields = configs.flat(config.to_dict())
    return {name: fields[name] for name in EXTRACTION if name in fields}
