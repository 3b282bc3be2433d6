"""`jreid pictures`: sheets of the pictures that a run's method draws of images."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import add_trust_flag, config_of_run, dataset_of, verb
from jreid.errors import InputError


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "draw a run's pictures of a few people: attention, generated images, ..."
    pictures = verb(verbs, "pictures", _pictures, help, config=True)
    pictures.add_argument("--workdir", type=Path, required=True, help="run folder")
    pictures.add_argument(
        "--images", type=int, default=8, help="how many people, two images each (default: 8)"
    )
    pictures.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="test",
        help="split of the run's dataset (default: test)",
    )
    pictures.add_argument(
        "--checkpoint",
        choices=("last", "best"),
        default="last",
        help="which checkpoint (default: last)",
    )
    add_trust_flag(pictures)


def _pictures(options: argparse.Namespace) -> None:
    from jreid.engine.model import Model
    from jreid.runs.pictures import draw_run
    from jreid.runs.run import Run

    if options.images < 1:
        raise InputError(f"--images={options.images} is not a number of people; give 1 or more.")
    run = Run(options.workdir)
    config = config_of_run(options)
    dataset, model = dataset_of(config), Model(config)
    for path in draw_run(run, model, dataset, options.split, options.checkpoint, options.images):
        print(path)
