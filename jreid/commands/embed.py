"""`jreid embed`: embeddings of a folder of images, or of a split of a run's dataset."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import (
    MODALITIES,
    SPLITS,
    add_run_flags,
    config_of_run,
    dataset_of,
    on_several_processes,
    verb,
)
from jreid.commands.other_data import add_flags, marks_of_data, refuse_flags
from jreid.errors import InputError, counted
from jreid.progress import TerminalBar


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "embed a folder of images, or a split of the run's dataset"
    embed = verb(verbs, "embed", _embed, help, config=True)
    add_run_flags(embed)
    what = embed.add_mutually_exclusive_group(required=True)
    what.add_argument("--images", type=Path, help="folder of images, searched with its subfolders")
    what.add_argument(
        "--split",
        choices=SPLITS,
        help="split of the run's dataset; the file then has labels, as `evaluate --features` needs",
    )
    embed.add_argument("--modality", choices=MODALITIES, help="modality of the images in --images")
    embed.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    add_flags(embed)
    on_several_processes(embed)


def _embed(options: argparse.Namespace) -> None:
    from jreid.runs.embed import embed_folder, embed_split
    from jreid.runs.run import Run

    run, output = Run(options.workdir), options.output
    if output.suffix != ".npz":
        raise InputError(f"{output} does not end in .npz; choose such an --output.")
    if (options.modality is None) == (options.images is not None):
        raise InputError("--images needs --modality, and --split takes none.")
    if options.split:
        config = config_of_run(options)
        dataset = dataset_of(config)
        marks = marks_of_data(options, run, config, dataset, options.split, dataset_of)
        with TerminalBar() as bar:
            count = embed_split(
                config, run, options.checkpoint, dataset, options.split, output, marks, bar
            )
        options.document = {"output": output, "images": count, "split": options.split}
        print(
            f"{output}: embeddings of the {counted(count, 'images')} of the {options.split} split"
        )
        return
    refuse_flags(options, "--split")
    with TerminalBar() as bar:
        count = embed_folder(run, options.checkpoint, options.images, options.modality, output, bar)
    options.document = {"output": output, "images": count, "modality": options.modality}
    print(f"{output}: {options.modality} embeddings of {counted(count, 'images')}")
