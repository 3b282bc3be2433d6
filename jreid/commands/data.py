"""`jreid data`: render, check, prepare and look at datasets."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from jreid.commands.common import log_warnings, verb
from jreid.datasets import LAYOUTS
from jreid.errors import InputError, counted
from jreid.find import is_outside, require_name
from jreid.optional_parts import require_part
from jreid.paths import from_here
from jreid.progress import TerminalBar

NAMES = (*LAYOUTS, "folder", "synthetic")


def add(verbs: Any) -> None:
    """Adds the verb and its actions."""
    parser = verbs.add_parser(
        "data",
        help="make, check and look at datasets",
        description="Make, check and look at datasets.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    help = "render the synthetic dataset"
    synthesize = verb(actions, "synthesize", _synthesize, help, config=False)
    synthesize.add_argument("--output", type=Path, required=True, help="the folder to make")
    synthesize.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="layout of its folder (default: sysu_mm01)",
    )
    synthesize.add_argument(
        "--preset",
        choices=("default", "tiny"),
        default="default",
        help="size of the dataset (default: default)",
    )
    synthesize.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")

    help = "count and decode all images of a dataset and list every fault"
    check = verb(actions, "check", _check, help, config=False)
    _source(check)

    help = "check a dataset and pack its images for training"
    prepare = verb(actions, "prepare", _prepare, help, config=False)
    _source(prepare)
    _prepared(prepare)
    prepare.add_argument(
        "--allow-partial", action="store_true", help="accept a dataset with missing images"
    )

    help = "draw a contact sheet of a dataset and count its images"
    show = verb(actions, "show", _show, help, config=False)
    _source(show)
    _prepared(show)
    show.add_argument(
        "--output", type=Path, required=True, help="the picture to write, .jpg or .png"
    )


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset",
        help=f"name of the dataset: {', '.join(NAMES)}; `folder` is your own images; a dotted name "
        "such as mylab.market is your own layout; one of several lists of identities follows the "
        "name, as in regdb,trial=3 or mp_reid,experiment=uav_ir_uav_rgb",
    )
    parser.add_argument("--source", type=Path, help="its folder (default: data/DATASET)")
    parser.add_argument(
        "--depth-range",
        nargs=2,
        type=int,
        default=(),
        metavar=("LOW", "HIGH"),
        help="values of 16-bit images that become black and white, as config.data.depth_range",
    )


def _prepared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prepared",
        type=Path,
        default=Path("data/prepared"),
        help="where packed images are kept (default: data/prepared)",
    )


def _synthesize(options: argparse.Namespace) -> None:
    from jreid.synthetic.synthesize import synthesize

    with TerminalBar() as bar:
        progress = partial(bar, "rendering")
        synthesize(options.output, options.preset, options.seed, progress, layout=options.layout)
    fields = ("output", "layout", "preset", "seed")
    options.document = {name: getattr(options, name) for name in fields}
    print(
        f"{options.output}: the synthetic dataset, layout {options.layout}, preset "
        f"{options.preset}, seed {options.seed}"
    )


def _check(options: argparse.Namespace) -> int:
    from jreid.console import Console
    from jreid.data.check import check, format_report

    source = _source_of(options)
    with TerminalBar() as bar:
        report = check(source, bar)
    options.document = {
        "dataset": options.dataset,
        "folder": source.folder,
        "ok": report.sound,
        "faults": [fault._asdict() for fault in report.faults],
        "counts": _counts(report),
    }
    Console().print(format_report(report))
    for fault in report.faults:
        print(f"{'note: ' if fault.harmless else ''}{fault}")
    if report.sound:
        print(f"{source.folder}: OK, no problems found")
    else:
        wrong = sum(not fault.harmless for fault in report.faults)
        print(f"{source.folder}: {counted(wrong, 'faults')}")
    return 0 if report.sound else 1


def _prepare(options: argparse.Namespace) -> None:
    require_part("data", "packing a dataset for training")
    dataset = _load(options, options.allow_partial)
    mark = " (partial)" if dataset.partial else ""
    options.document = {
        "dataset": options.dataset,
        "prepared": options.prepared,
        "images": len(dataset.table.name),
        "partial": dataset.partial,
        "data_fingerprint": dataset.fingerprint,
    }
    images = counted(len(dataset.table.name), "images")
    print(f"{options.prepared}: {images} of {options.dataset}{mark}")


def _show(options: argparse.Namespace) -> None:
    from jreid.console import Console
    from jreid.data.check import format_report, survey
    from jreid.data.contact_sheet import contact_sheet, format_of

    format_of(options.output)  # before the work, not after it
    dataset = _load(options, allow_partial=True)
    contact_sheet(dataset.table, options.output, names=dataset.names)
    report = survey(_source_of(options))
    options.document = {"output": options.output, "counts": _counts(report)}
    Console().print(format_report(report))
    print(f"{options.output}: people by row, cameras by column")


def _counts(report: Any) -> list[dict[str, Any]]:
    """Identities and images of each split, modality and camera (0: all), expected and found."""
    groups = sorted({*report.expected, *report.found})
    return [
        {
            **group._asdict(),
            "found": report.found[group]._asdict() if group in report.found else None,
            "expected": report.expected[group]._asdict() if group in report.expected else None,
        }
        for group in groups
    ]


def _load(options: argparse.Namespace, allow_partial: bool) -> Any:
    from jreid.data.dataset import load

    source = _source_of(options)._replace(allow_partial=allow_partial)
    with TerminalBar() as bar:
        dataset = load(source, options.prepared, bar)
    log_warnings(dataset, source.folder)
    return dataset


def _source_of(options: argparse.Namespace) -> Any:
    """The folder and its layout; a synthetic dataset records its own layout."""
    from jreid.data.dataset import Source
    from jreid.data.layouts.layout import find_layout
    from jreid.data.layouts.synthetic_label import read_label, synthesize_command

    layout, _, given = options.dataset.partition(",")
    if not is_outside(layout):
        require_name("jreid data", layout, NAMES)
    name = layout.rpartition(".")[2]
    folder = options.source or Path("data") / name
    if layout == "synthetic":
        label = read_label(folder)
        if label is None:
            command = synthesize_command(folder.name, folder) or synthesize_command(name, folder)
            raise InputError(
                f"{from_here(folder)} holds no synthetic dataset; render it by {command}."
            )
        layout = label["layout"]
    setting: int | str = 0
    if given:
        own = find_layout(layout).setting
        option, _, value = given.partition("=")
        if own is None or option != own.option:
            raise InputError(
                f"{options.dataset} is not understood: {layout} has "
                f"{f'only the option {own.option}=' if own else 'no options'}."
            )
        setting = own.read(value)
    return Source(name, layout, folder, setting, depth_range=tuple(options.depth_range))
