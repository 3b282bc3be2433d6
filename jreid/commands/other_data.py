"""Data that are not a run's own: their numbers are another result, and never its people's again."""

import argparse
import hashlib
from collections.abc import Callable
from typing import Any

from jreid.errors import InputError

FLAG = "--other-data"
HELP = (
    "take data that are not the run's own, given by --config.data fields; results go to "
    "result-FINGERPRINT.json and are marked; images that the run was trained on are refused"
)


def add_flag(parser: argparse._ActionsContainer) -> None:
    """Adds `--other-data`."""
    parser.add_argument(FLAG, action="store_true", help=HELP)


def marks_of_data(
    run: Any, config: Any, dataset: Any, split: str, allowed: bool, load: Callable[[Any], Any]
) -> dict[str, Any]:
    """The fields that mark rows on a dataset; none where it is the run's own.

    A run that was imported has no data of its own, so that all are.

    Args:
        split: whose images are embedded.
        allowed: whether other data are asked for.
        load: from a config to its dataset.

    Returns:
        `other_data`, and `trained_on_unknown` where the run's own images are not at their place.

    Raises:
        InputError: the data are not the run's own and not asked for, or the run was trained on some
            of the images.
    """
    record = run.record()
    own = record.get("data_fingerprint")
    if own == dataset.fingerprint or (record and own is None):
        return {}
    if not allowed:
        raise InputError(
            f"{config.data.folder} holds other data than those that the run in {run.workdir} was "
            f"trained on ({dataset.fingerprint[:12]}, {own[:12] if own else 'not recorded'}); give "
            f"its own by --config.data.folder, or ask for another result by {FLAG}."
        )
    import numpy as np

    training = _training_images(run, own, load)
    if training is None:
        return {"other_data": True, "trained_on_unknown": True}
    table = dataset.table.take(dataset.table.split == split)
    known = np.array([hashlib.sha256(image).digest() in training for image in table.image], bool)
    if known.any():
        people = len(np.unique(table.identity[known]))
        raise InputError(
            f"{config.data.folder}: {known.sum():,} of the {len(known):,} {split} images, of "
            f"{people} identities, are images that the run in {run.workdir} was trained on; "
            "evaluate it on people that it does not know."
        )
    return {"other_data": True}


def _training_images(run: Any, own: str | None, load: Callable[[Any], Any]) -> set[bytes] | None:
    """SHA-256 of the images that the run was trained on; None where they are not at their place."""
    import numpy as np

    config = run.config()
    try:
        dataset = load(config)
    except InputError:
        return None
    if dataset.fingerprint != own:
        return None
    trained = np.isin(dataset.table.split, config.data.train_splits)
    return {hashlib.sha256(image).digest() for image in dataset.table.image[trained]}
