"""Compares a test with the images and people that a run's weights were trained on."""

import hashlib
import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jreid.commands.common import dataset_of
from jreid.datasets import SETTINGS, SHARED_PEOPLE, TITLES
from jreid.errors import InputError

OTHER_PEOPLE = "evaluate it on people that it was not trained on"
OTHER_START = "start from a run that was not trained on them, or from config.weights"
OTHER_WORKDIR = "train on these data in another --workdir"
log = logging.getLogger(__name__)


def compare_with_training(
    run: Any, config: Any, dataset: Any, split: str = "test", remedy: str = OTHER_PEOPLE
) -> bool:
    """Compares a split with the data of a run and of those that its weights come from.

    Args:
        config: of the dataset.
        remedy: the end of the error.

    Returns:
        Whether all these data could be compared: their folder may have other images now.

    Raises:
        InputError: one of the runs was trained on some of the images, or people of another of the
            dataset's lists.
    """
    from jreid.runs.record import marks_of_record

    known = True
    for one in _lineage(run):
        compared = one and _compare(one, config, dataset, split, remedy)
        if not compared or marks_of_record(one.record()):
            known = False
    return known


def fields_of_start(start: Any, config: Any, dataset: Any) -> dict[str, Any]:
    """The fields of `start` in `run.json` on the data of the run whose weights another one takes.

    Args:
        start: the run that has the weights.
        config: of the dataset that the other run is trained and tested on.

    Returns:
        `data_fingerprint`, of the data of `start`; and `trained_on_unknown`: whether these, and
        the data of the runs before it, could not all be compared with the test split.

    Raises:
        InputError: as `compare_with_training`.
    """
    from jreid.runs.record import marks_of_record

    record, trained = start.record(), start.config().data
    own = record.get("data_fingerprint")
    is_import = record and own is None  # its config says which data it is of
    same = trained.name == config.data.name and not _has_other_list(config.data, trained)
    if own == dataset.fingerprint or (is_import and same):
        known = not marks_of_record(record)
    else:
        known = compare_with_training(start, config, dataset, remedy=OTHER_START)
    if not known:
        log.warning(
            "%s: the images that its weights were trained on cannot all be compared with the test "
            "split of %s: every result is marked.",
            *(start.workdir, config.data.folder),
        )
    return {"data_fingerprint": own, "trained_on_unknown": not known}


def refuse_drift(run: Any, config: Any, dataset: Any) -> None:
    """Raises InputError if a run that is resumed on other data was trained on their test split."""
    from jreid.runs.checkpoint_folder import StepFolders

    own = run.record().get("data_fingerprint")
    if own not in (None, dataset.fingerprint) and StepFolders(run.checkpoints).latest():
        compare_with_training(run, config, dataset, remedy=OTHER_WORKDIR)


def _lineage(run: Any) -> Iterator[Any]:
    """The run, the one that it started from, and so on; None for one that cannot be found."""
    seen: set[Path] = set()
    while run and (place := Path(run.workdir).resolve()) not in seen:
        yield run
        seen.add(place)
        start = run.record().get("start") or {}
        if start.get("kind") != "run":
            return
        run = None if run.is_bundle else _run_of(start)
    yield None


def _run_of(start: Mapping[str, Any]) -> Any:
    """The run of a `start`, if it is there with the data that it had then; else None."""
    from jreid.runs.run import Run

    try:
        run = Run(Path(start["path"]))
        run.config()
        own = run.record()["data_fingerprint"]
    except (InputError, KeyError, TypeError):
        return None
    return run if own == start.get("data_fingerprint", own) else None


def _compare(run: Any, config: Any, dataset: Any, split: str, remedy: str) -> bool:
    """As `compare_with_training`, for the data of one run."""
    import numpy as np

    _refuse_shared_people(run, config)
    training = _training_rows(run)
    if training is None:
        return False
    images = {hashlib.sha256(image).digest() for image in training.image}
    table = dataset.table.of_split(split)
    known = np.array([hashlib.sha256(image).digest() in images for image in table.image], bool)
    if known.any():
        people = len(np.unique(table.identity[known]))
        raise InputError(
            f"{config.data.folder}: {known.sum():,} of the {len(known):,} {split} images, of "
            f"{people} identities, were training images of the run in {run.workdir}; {remedy}."
        )
    if _has_other_list(config.data, run.config().data):
        people = np.intersect1d(table.identity, training.identity)
        _refuse_trained_people(run, config, people, remedy)
    return True


def _has_other_list(data: Any, trained: Any) -> bool:
    """Whether two configs use one dataset by different lists, such as experiments of MP-ReID."""
    setting = SETTINGS.get(data.layout)
    if setting is None or data.name != trained.name:
        return False
    return getattr(data, setting.field) != getattr(trained, setting.field)


def _refuse_trained_people(run: Any, config: Any, people: Any, remedy: str) -> None:
    """Raises InputError if people of the test were trained on, in images of other cameras."""
    if len(people):
        raise InputError(
            f"{config.data.folder}: {len(people)} identities of the test, such as {people[0]}, "
            f"were training identities of the run in {run.workdir}, whose "
            f"{SETTINGS[config.data.layout].option} is another one; {remedy}."
        )


def _refuse_shared_people(run: Any, config: Any) -> None:
    """Raises InputError if one of the two datasets has people of the other."""
    for here, trained in itertools.product(_datasets(config.data), _datasets(run.config().data)):
        for one, other in ((here, trained), (trained, here)):
            if other in SHARED_PEOPLE.get(one, ()):
                raise InputError(
                    f"{TITLES[one]} has images of {TITLES[other]}, test people included, so the "
                    f"run in {run.workdir}, which was trained on {trained}, cannot be tested on "
                    f"{here}; choose another dataset."
                )


def _datasets(data: Any) -> set[str]:
    """The datasets whose people a config may have: with --other-data its name may be the run's."""
    return {data.name, data.layout} if data.name in TITLES else {data.name}


def _training_rows(run: Any) -> Any:
    """The Table of what the run was trained on; None if the images are no longer there."""
    import numpy as np

    config, own = run.config(), run.record().get("data_fingerprint")
    try:
        dataset = dataset_of(config) if own else None
    except InputError:
        return None
    if dataset is None or dataset.fingerprint != own:
        return None
    return dataset.table.take(np.isin(dataset.table.split, config.data.train_splits))
