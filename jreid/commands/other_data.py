"""Evaluation on other data than the run's: a separate result, and never on people it trained on."""

import argparse
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jreid.datasets import SETTINGS, SHARED_PEOPLE, TITLES
from jreid.errors import InputError

FLAG = "--other-data"
HELP = (
    "evaluate on other data than the run's, given by --config.data fields; results go to "
    "result-FINGERPRINT.json and are marked; images that the run was trained on are refused"
)


def add_flags(parser: argparse._ActionsContainer) -> None:
    """Adds `--data`, `--data-folder` and `--other-data`."""
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="use this dataset in place of the run's, with the protocols of its layout: llcm, "
        "regdb,trial=3, ... (`jreid list datasets` shows all); otherwise as --other-data",
    )
    parser.add_argument(
        "--data-folder", type=Path, metavar="DIR", help="folder of --data (default: data/NAME)"
    )
    parser.add_argument(FLAG, action="store_true", help=HELP)


def refuse_flags(options: argparse.Namespace, needed: str) -> None:
    """Raises InputError if one of these flags, or of a config, is given without the needed one."""
    given = {
        FLAG: options.other_data,
        "--data": options.data,
        "--data-folder": options.data_folder,
    }
    for flag in [*options.overrides, *(flag for flag, value in given.items() if value)]:
        raise InputError(f"{flag} goes only with {needed}; leave it out.")


def marks_of_data(
    options: argparse.Namespace,
    run: Any,
    config: Any,
    dataset: Any,
    split: str,
    load: Callable[[Any], Any],
) -> dict[str, Any]:
    """The fields that mark rows on other data; empty if the dataset is the run's own.

    An imported run has no data of its own: its rows are always marked.

    Args:
        options: of the verb, which say whether the user asked for other data.
        split: the split to embed.
        load: loads the dataset of a config.

    Returns:
        `other_data`; `trained_on`, the name of the run's own dataset; and `trained_on_unknown` if
        its images are no longer in their folder.

    Raises:
        InputError: the data are not the run's own and the user did not ask for them, or the run was
            trained on some of the images, or people of another of the dataset's lists.
    """
    record = run.record()
    own, asked = record.get("data_fingerprint"), options.other_data or options.data
    if own == dataset.fingerprint or (record and own is None and not asked):
        return {}
    if not asked:
        raise InputError(
            f"{config.data.folder} holds other data than the run in {run.workdir} was trained on "
            f"(fingerprint {dataset.fingerprint[:12]} here, {own[:12] if own else 'none recorded'} "
            "in the run); give the run's data by --config.data.folder, or evaluate on these by "
            f"{FLAG}."
        )
    import numpy as np

    _refuse_shared_people(run, config)
    marks = {"other_data": True, "trained_on": run.config().data.name}
    training = _training_rows(run, own, load)
    if training is None:
        return {**marks, "trained_on_unknown": True}
    images = {hashlib.sha256(image).digest() for image in training.image}
    table = dataset.table.take(dataset.table.split == split)
    known = np.array([hashlib.sha256(image).digest() in images for image in table.image], bool)
    if known.any():
        people = len(np.unique(table.identity[known]))
        raise InputError(
            f"{config.data.folder}: {known.sum():,} of the {len(known):,} {split} images, of "
            f"{people} identities, were training images of the run in {run.workdir}; evaluate it "
            "on people that it was not trained on."
        )
    if _has_other_lists(config.data, run.config().data):
        _refuse_trained_people(run, config, np.intersect1d(table.identity, training.identity))
    return marks


def _has_other_lists(data: Any, trained: Any) -> bool:
    """Whether two configs use one dataset by different lists, such as experiments of MP-ReID."""
    setting = SETTINGS.get(data.layout)
    if setting is None or data.name != trained.name:
        return False
    return getattr(data, setting.field) != getattr(trained, setting.field)


def _refuse_trained_people(run: Any, config: Any, people: Any) -> None:
    """Raises InputError if there are such people: their images are others, of other cameras."""
    if len(people):
        option = SETTINGS[config.data.layout].option
        raise InputError(
            f"{config.data.folder}: {len(people)} identities of the test, such as {people[0]}, "
            f"were training identities of the run in {run.workdir}, whose {option} is another one; "
            f"train a run for this {option}."
        )


def _refuse_shared_people(run: Any, config: Any) -> None:
    """Raises InputError for two datasets that have people of each other."""
    for here, trained in itertools.product(_datasets(config.data), _datasets(run.config().data)):
        for one, other in ((here, trained), (trained, here)):
            if other in SHARED_PEOPLE.get(one, ()):
                raise InputError(
                    f"{TITLES[one]} has images of {TITLES[other]}, test people included, so the "
                    f"run in {run.workdir}, which was trained on {trained}, cannot be tested on "
                    f"{here}; choose another dataset."
                )


def _datasets(data: Any) -> set[str]:
    """The datasets whose people a config may have: --other-data may leave the name as it was."""
    return {data.name, data.layout} if data.name in TITLES else {data.name}


def _training_rows(run: Any, own: str | None, load: Callable[[Any], Any]) -> Any:
    """The Table of what the run was trained on; None if the images have left their folder."""
    import numpy as np

    config = run.config()
    try:
        dataset = load(config)
    except InputError:
        return None
    if dataset.fingerprint != own:
        return None
    return dataset.table.take(np.isin(dataset.table.split, config.data.train_splits))
