"""`jreid evaluate`: a run's checkpoints, anybody's features, or two results side by side."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.commands.common import (
    config_of_run,
    dataset_of,
    on_several_processes,
    ranking_progress,
    verb,
)
from jreid.commands.other_data import add_flag, marks_of_data
from jreid.errors import InputError

# Flags of --features: what the protocol may be told, and the rest.
CHOICES = ("search", "shots", "draw", "direction", "trial", "trials", "cmc", "distance")
OTHERS = ("protocol", "dataset", "gallery_index", "rerank", "k1", "k2", "rerank_weight", "output")
OF_FILE = ("config_hash", "extraction", "data_fingerprint")  # kept from a run's embeddings


def add(verbs: Any) -> None:
    """Adds the verb."""
    told = "evaluate a run's checkpoints, or features, or compare two results"
    evaluate = verb(verbs, "evaluate", _evaluate, told, config=True)
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", type=Path, help="the run's folder")
    what.add_argument(
        "--features",
        type=Path,
        help="an .npz file with the arrays features, identities, cameras, modalities and names",
    )
    what.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A.json", "B.json"),
        help="two result files: their rows of equal fingerprint side by side",
    )
    add_flag(evaluate.add_argument_group("with --workdir"))
    of_features = evaluate.add_argument_group("with --features")
    of_features.add_argument("--protocol", help="sysu_mm01, regdb, llcm, ...")
    of_features.add_argument(
        "--dataset",
        help="whose images they are (default: what `jreid embed` wrote, else the protocol's own, "
        "whose counts are known and checked)",
    )
    of_features.add_argument(
        "--allow-partial",
        action="store_true",
        default=None,
        help="take fewer images than the dataset has; every row is marked as partial",
    )
    of_features.add_argument("--search", help="of sysu_mm01: all or indoor")
    of_features.add_argument("--shots", type=int, help="of sysu_mm01: 1 or 10")
    of_features.add_argument("--draw", help="of sysu_mm01: official or agw")
    of_features.add_argument("--direction", help="infrared_to_visible or visible_to_infrared")
    of_features.add_argument("--trial", type=int, help="of regdb: which of its ten splits")
    of_features.add_argument("--trials", type=int, help="how many galleries are drawn")
    of_features.add_argument("--cmc", help="identity or image")
    of_features.add_argument("--distance", help="cosine (default) or euclidean")
    of_features.add_argument(
        "--gallery-index", type=Path, help="rand_perm_cam.mat, for the official draw"
    )
    of_features.add_argument(
        "--rerank",
        help="one or more of none, standard, query_only, separated by commas (default: none)",
    )
    of_features.add_argument("--k1", type=int, help="of re-ranking: neighbours (default: 20)")
    of_features.add_argument(
        "--k2", type=int, help="of re-ranking: neighbours averaged (default: 6)"
    )
    of_features.add_argument(
        "--rerank-weight",
        type=float,
        help="of re-ranking: the original distance's share, lambda (default: 0.3)",
    )
    of_features.add_argument("--output", type=Path, help="the result file to write, .json")
    on_several_processes(evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    for flag in [*options.overrides, *(["--other-data"] if options.other_data else [])]:
        if not options.workdir:
            raise InputError(f"{flag} is for --workdir; leave it out.")
    if options.features:
        _evaluate_features(options)
        return
    for name in (*CHOICES, *OTHERS, "allow_partial"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} is for --features; a run's evaluation is set by "
                "--config.evaluation fields."
            )
    if options.compare:
        _compare(*options.compare)
    else:
        _evaluate_run(options)


def _evaluate_run(options: argparse.Namespace) -> None:
    from jreid.training.run import Run

    run = Run(options.workdir)
    config = config_of_run(options)
    dataset = dataset_of(config)
    marks = marks_of_data(run, config, dataset, "test", options.other_data, dataset_of)
    evaluate_and_tell(config, run, dataset, marks)


def evaluate_and_tell(
    config: Any, run: Any, dataset: Any, marks: Mapping[str, Any] | None = None
) -> None:
    """Scores the run's last and best checkpoints on the test split, tells and keeps the rows.

    Args:
        marks: fields for every row, if the data are not the run's own.
    """
    from jreid.training.evaluation import evaluate_run

    with ranking_progress() as (tell, progress):
        result = evaluate_run(config, run, dataset, tell, progress, marks)
    name = f"result-{dataset.fingerprint[:12]}.json" if marks else run.result.name
    run.write_result(result, name)
    tell_rows(config, result["rows"])
    print(f"result       {run.workdir / name}")
    print(f"metrics      {run.metrics / 'metrics.jsonl'}")
    print(f"TensorBoard  tensorboard --logdir={run.metrics}")
    print(f"embeddings   python -m jreid embed --workdir={run.workdir} --images=DIR ...")


def tell_rows(config: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a run's result rows."""
    partial = ", partial dataset" if any(row.get("partial") for row in rows) else ""
    _print_table(f"{config.method} on {config.data.name}, test split{partial}", rows)


def _evaluate_features(options: argparse.Namespace) -> None:
    from jreid.data.sysu_mm01 import read_gallery_index
    from jreid.evaluation import Rerank, choose, evaluate, read_features, write_result
    from jreid.training.processes import on_first

    if not options.protocol:
        raise InputError("--features needs --protocol too, such as --protocol=sysu_mm01.")
    output = options.output
    if output and (output.suffix != ".json" or output.is_dir()):
        raise InputError(f"{output} does not end in .json; choose such an --output.")
    protocols = choose(options.protocol, **_given(options, *CHOICES))
    parameters = {
        {"rerank_weight": "weight"}.get(name, name): value
        for name, value in _given(options, "k1", "k2", "rerank_weight").items()
    }
    rerankings = [
        None if kind == "none" else Rerank(kind, **parameters)
        for kind in dict.fromkeys((options.rerank or "none").split(","))
    ]
    features, table = read_features(options.features)
    origin = _origin(options, table, protocols)
    index = read_gallery_index(options.gallery_index) if options.gallery_index else {}
    with ranking_progress() as (tell, progress):
        rows = on_first(
            lambda: [
                evaluate(features, table, index, protocol, rerank, tell=tell, progress=progress)
                | origin["row"]
                for protocol in protocols
                for rerank in rerankings
            ]
        )
    if output:
        of_file = {name: origin[name] for name in OF_FILE if name in origin}
        result = {"features": str(options.features), **of_file, "rows": rows}
        on_first(lambda: write_result(output, result))
    _print_table(str(options.features), rows)
    if output:
        print(f"result       {output}")


def _origin(options: argparse.Namespace, table: Any, protocols: Sequence[Any]) -> dict[str, Any]:
    """What is known of the features' images and model; `row` are fields of every result row."""
    from jreid.data.known_counts import dataset_of_protocol, feature_faults
    from jreid.data.listing import refuse
    from jreid.evaluation.feature_file import read_origin

    origin = read_origin(options.features, table)
    row = origin.get("row", {})
    written = row.get("dataset", options.dataset)
    if options.dataset not in (None, written):
        raise InputError(
            f"{options.features} holds features of {written}, not of {options.dataset}; leave "
            "--dataset out."
        )
    name = written or dataset_of_protocol(options.protocol)
    cameras = {}
    for protocol in protocols:
        query, gallery = protocol.direction.split("_to_")
        cameras |= {query: protocol.query_cameras, gallery: protocol.gallery_cameras}
    faults = feature_faults(name, table, row.get("of_split", "test"), cameras)
    partial = bool(faults) or bool(row.get("partial"))
    other = f"or say by --dataset=NAME that they are not of {name}"
    refuse((fault for fault in faults if fault.kind == "wrong"), options.features, other, most=6)
    if not row.get("partial") and not options.allow_partial:
        remedy = f"take them as they are by --allow-partial, which marks every row, {other}"
        refuse(faults, options.features, remedy, most=6)
    return {**origin, "row": {"skipped_images": 0, **row, "dataset": name, "partial": partial}}


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _compare(first: Path, second: Path) -> None:
    from jreid.console import Console
    from jreid.evaluation.compare import (
        compare,
        extraction_differences,
        format_comparison,
        read_result,
    )

    results = read_result(first), read_result(second)
    rows = compare(*results)
    Console(width=max(Console().width, 250)).print(format_comparison(rows))
    for told in extraction_differences(*results, [f"{first}", f"{second}"]):
        print(told)


def _print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from jreid.console import Console
    from jreid.evaluation.evaluate import format_table

    console = Console(width=max(Console().width, 200))
    console.print(title, markup=False)
    console.print(format_table(rows))
