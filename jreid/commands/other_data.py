"""Evaluation on other data than the run's: a separate result. Training people are refused."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import OWN_FOLDER, require_own
from jreid.commands.trained_on import compare_with_training
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
) -> dict[str, Any]:
    """The fields that mark rows on other data; empty if the user did not ask for other data.

    They are also empty if the dataset is the run's own. An imported run has no data of its own.

    Args:
        options: of the verb, which say whether the user asked for other data.
        split: the split to embed.

    Returns:
        `other_data`; `trained_on`, the name of the run's own dataset; and `trained_on_unknown` if
        the images of its training cannot all be compared with these.

    Raises:
        InputError: the data are not the run's own and the user did not ask for them; or as
            `compare_with_training`.
    """
    asked = options.other_data or options.data
    if not asked:
        require_own(dataset, config, run, f"{OWN_FOLDER}, or evaluate on these by {FLAG}")
    if not asked or run.record().get("data_fingerprint") == dataset.fingerprint:
        return {}
    marks = {"other_data": True, "trained_on": run.config().data.name}
    known = compare_with_training(run, config, dataset, split)
    return marks if known else {**marks, "trained_on_unknown": True}
