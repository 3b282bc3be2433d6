"""The weights that a run starts from, where they are those of another run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from jreid.errors import InputError
from jreid.methods import Variables
from jreid.training.checkpoints import Checkpoints, shape_of
from jreid.training.checks import check_config
from jreid.training.model import Model
from jreid.training.run import Run


class Taken(NamedTuple):
    """What became of the arrays of another run.

    Attributes:
        variables: initial ones, those of the other run in their places.
        kept: paths that were taken over.
        dropped: a line for each array that was not, with both shapes: the new run starts with an
            array of its own there, or has none.
        fresh: paths of the new run that the other has nothing for.
    """

    variables: Variables
    kept: list[str]
    dropped: list[str]
    fresh: list[str]


def take_over(variables: Variables, other: Path, kind: str) -> Taken:
    """Puts the arrays of another run's checkpoint into initial variables.

    An array is taken over where path, type and shape are the same; of another number of classes,
    for example, all but the classifier.

    Args:
        variables: of the new run.
        other: the working directory of the other run.
        kind: `last` or `best`, its checkpoint.

    Raises:
        InputError: there is no such checkpoint, it is damaged, or nothing of it fits.
    """
    run = Run(other)
    config = run.config()
    check_config(config)
    model = Model(config)
    with Checkpoints(run.checkpoints) as checkpoints:
        step = checkpoints.step(kind)
        if step is None:
            raise InputError(f"{other} has no {kind} checkpoint; choose another --init-from.")
        found: Any = jax.device_get(model.restore_variables(checkpoints, step))
    ours, theirs = flatten_dict(variables, sep="/"), flatten_dict(found, sep="/")
    same = {
        path for path in theirs if path in ours and shape_of(ours[path]) == shape_of(theirs[path])
    }
    kept = [path for path in theirs if path in same]
    if not kept:
        raise InputError(
            f"no array of {other} fits this config's network; give one of the same method and "
            "backbone as --init-from."
        )
    dropped = [
        f"{path}: {shape_of(theirs[path])} there, "
        f"{shape_of(ours[path]) if path in ours else 'none'} here"
        for path in theirs
        if path not in same
    ]
    filled = ours | {path: theirs[path] for path in kept}
    fresh = [path for path in ours if path not in theirs]
    return Taken(unflatten_dict(filled, sep="/"), kept, dropped, fresh)
