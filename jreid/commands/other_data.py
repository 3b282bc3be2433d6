"""Evaluation on other data than the run's: a separate result, and never on people it trained on."""

import argparse
import hashlib
from collections.abc import Callable
from typing import Any

from jreid.errors import InputError

FLAG = "--other-data"
HELP = (
    "evaluate on other data than the run's, given by --config.data fields; results go to "
    "result-FINGERPRINT.json and are marked; images that the run was trained on are refused"
)


def add_flag(parser: argparse._ActionsContainer) -> None:
    """Adds `--other-data`."""
    parser.add_argument(FLAG, action="store_true", help=HELP)


def marks_of_data(
    run: Any, config: Any, dataset: Any, split: str, allowed: bool, load: Callable[[Any], Any]
) -> dict[str, Any]:
    """The fields that mark rows on other data; empty if the dataset is the run's own.

    An imported run has no data of its own: its rows are always marked.

    Args:
        split: the split to embed.
        allowed: whether the user asked for other data.
        load: loads the dataset of a config.

    Returns:
        `other_data`, and `trained_on_unknown` if the run's own images are no longer in their
        folder.

    Raises:
        InputError: the data are not the run's own and the user did not ask for them, or the run was
            trained on some of the images.
    """
    record = run.record()
    own = record.get("data_fingerprint")
    if own == dataset.fingerprint or (record and own is None):
        return {}
    if not allowed:
        raise InputError(
            f"{config.data.folder} holds other data than the run in {run.workdir} was trained on "
            f"(fingerprint {dataset.fingerprint[:12]} here, {own[:12] if own else 'none recorded'} "
            "in the run); give the run's data by --config.data.folder, or evaluate on these by "
            f"{FLAG}."
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
            f"{people} identities, were training images of the run in {run.workdir}; evaluate it "
            "on people that it was not trained on."
        )
    return {"other_data": True}


def _training_images(run: Any, own: str | None, load: Callable[[Any], Any]) -> set[bytes] | None:
    """SHA-256 of the images that the run was trained on; None if they have left their folder."""
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
