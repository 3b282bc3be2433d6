"""`jreid pictures`: sheets of the pictures that a run's method draws of images."""

import argparse
from typing import Any

from jreid.commands.common import add_run_flags, config_of_run, own_dataset, verb
from jreid.datasets import SPLITS
from jreid.errors import InputError
from jreid.progress import explained


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "draw a run's pictures of a few people, such as attention or generated images"
    pictures = verb(verbs, "pictures", _pictures, help, config=True)
    add_run_flags(pictures)
    pictures.add_argument(
        "--images", type=int, default=8, help="number of people, with two images each (default: 8)"
    )
    pictures.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="split of the run's dataset (default: test)",
    )


def _pictures(options: argparse.Namespace) -> None:
    from jreid.engine.model import Model
    from jreid.runs.pictures import draw_run
    from jreid.runs.run import Run

    if options.images < 1:
        raise InputError(f"--images={options.images} is not a number of people; give 1 or more.")
    run = Run(options.workdir)
    config = config_of_run(options)
    dataset, model = own_dataset(config, run), Model(config)
    with explained("drawing the pictures; the first time their network is compiled"):
        files = draw_run(run, model, dataset, options.split, options.checkpoint, options.images)
    options.document = {"files": files}
    print(*files, sep="\n")
