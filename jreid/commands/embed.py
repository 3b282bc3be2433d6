"""`jreid embed`: embeddings of a folder of images, or of a split of a run's dataset."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import (
    add_run_flags,
    config_of_run,
    dataset_of,
    on_several_processes,
    verb,
)
from jreid.commands.other_data import add_flags, marks_of_data, refuse_flags
from jreid.datasets import MODALITIES, SPLITS
from jreid.errors import InputError, counted
from jreid.files import check_folder
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
    embed.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the .npz file to write; or a folder that ends in .parquet, written in parts, where a "
        "part that is there already is not embedded again (needs pyarrow)",
    )
    embed.add_argument(
        "--shard",
        metavar="I/N",
        help="write a share of the .parquet parts: 0/8, 1/8, ... 7/8 are eight jobs, which may run "
        "at the same time and be started again",
    )
    embed.add_argument(
        "--dtype", choices=("float32", "float16"), help="of .parquet embeddings (default: float32)"
    )
    embed.add_argument(
        "--part-images",
        type=int,
        metavar="N",
        help="images in a .parquet part (default: 4096); a smaller number gives more parts, so "
        "that more jobs have work",
    )
    add_flags(embed)
    on_several_processes(embed)


def _embed(options: argparse.Namespace) -> None:
    from jreid.runs.embed import embed_folder, embed_split
    from jreid.runs.run import Run

    run, output = Run(options.workdir), options.output
    if output.suffix not in (".npz", ".parquet"):
        raise InputError(f"{output} does not end in .npz or .parquet; choose such an --output.")
    share = _share(options)
    _check_output(output, share)
    if (options.modality is None) == (options.images is not None):
        raise InputError("--images needs --modality, and --split takes none.")
    if options.split:
        config = config_of_run(options)
        dataset = dataset_of(config)
        marks = marks_of_data(options, run, config, dataset, options.split)
        what = {"split": options.split}
        with TerminalBar() as bar:
            of_split = (config, run, options.checkpoint, dataset, options.split)
            done = embed_split(*of_split, output, marks, bar, share)
    else:
        refuse_flags(options, "--split")
        what = {"modality": options.modality}
        with TerminalBar() as bar:
            of_folder = (run, options.checkpoint, options.images, options.modality)
            done = embed_folder(*of_folder, output, bar, share)
    options.document = {"output": output, "images": done.images, **what}
    if share:
        parts = {"parts": done.parts, "written": done.written, "kept": done.kept}
        options.document |= {"shard": options.shard or "0/1", **parts}
    images = counted(done.images, "images")
    if options.split:
        print(f"{output}: embeddings of the {images} of the {options.split} split")
    else:
        print(f"{output}: {options.modality} embeddings of {images}")
    if share:
        print(f"parts        {done.parts}; this job wrote {done.written} and kept {done.kept}")


def _check_output(output: Path, share: Any) -> None:
    """Raises InputError if the output cannot be written, before anything is read."""
    from jreid.evaluation.results.parquet import require_pyarrow

    if share:
        require_pyarrow()
    elif output.is_dir():
        raise InputError(f"{output} is a folder; name a file.")
    check_folder(output if share else output.parent)


def _share(options: argparse.Namespace) -> Any:
    """The share of Parquet parts to write; None for an .npz file."""
    from jreid.runs.embed_parts import read_share

    if options.output.suffix == ".parquet":
        return read_share(options.shard, options.dtype, options.part_images)
    for flag in ("shard", "dtype", "part_images"):
        if getattr(options, flag) is not None:
            flag = f"--{flag.replace('_', '-')}"
            raise InputError(f"{flag} goes only with an --output that ends in .parquet.")
    return None
