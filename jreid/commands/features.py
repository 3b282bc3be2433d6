"""`jreid evaluate --features`: anybody's features, by every protocol."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from jreid.commands.common import ranking_progress
from jreid.errors import InputError

# Flags of --features: what the protocol may be told, and the rest.
CHOICES = ("search", "shots", "sampling", "direction", "split_number", "trials", "cmc", "distance")
OTHERS = ("protocol", "dataset", "gallery_index", "rerank", "k1", "k2", "rerank_weight", "output")
OF_FILE = ("config_hash", "extraction", "data_fingerprint")  # kept from a run's embeddings
FLAGS = (*CHOICES, *OTHERS, "allow_partial")


def add_flags(group: Any) -> None:
    """Adds the flags that go with --features."""
    group.add_argument("--protocol", help="sysu_mm01, regdb, llcm, ...")
    group.add_argument(
        "--dataset",
        help="dataset of the images (default: what `jreid embed` wrote, else the protocol's own, "
        "whose counts are known and checked)",
    )
    group.add_argument(
        "--allow-partial",
        action="store_true",
        default=None,
        help="take fewer images than the dataset has; every row is marked as partial",
    )
    group.add_argument("--search", help="of sysu_mm01: all or indoor")
    group.add_argument("--shots", type=int, help="of sysu_mm01: 1 or 10")
    group.add_argument("--sampling", help="of sysu_mm01: official or seeded")
    group.add_argument("--direction", help="infrared_to_visible or visible_to_infrared")
    group.add_argument("--split-number", type=int, help="of regdb: which of its ten splits")
    group.add_argument("--trials", type=int, help="number of galleries to draw")
    group.add_argument("--cmc", help="identity or image")
    group.add_argument("--distance", help="cosine (default) or euclidean")
    group.add_argument(
        "--gallery-index", type=Path, help="rand_perm_cam.mat, for the official draw"
    )
    group.add_argument(
        "--rerank",
        help="one or more of none, standard, query_only, separated by commas (default: none)",
    )
    group.add_argument("--k1", type=int, help="of re-ranking: neighbors (default: 20)")
    group.add_argument("--k2", type=int, help="of re-ranking: neighbors averaged (default: 6)")
    group.add_argument(
        "--rerank-weight",
        type=float,
        help="of re-ranking: the original distance's share, lambda (default: 0.3)",
    )
    group.add_argument("--output", type=Path, help="the result file to write, .json")


def evaluate_features(options: argparse.Namespace) -> None:
    """Evaluates the features, keeps the result and prints it.

    Raises:
        InputError: bad input; or the result cannot be written, or a re-ranking has failed, and the
            rows that there are are printed before.
    """
    from jreid.data.layouts.sysu_mm01 import read_gallery_index
    from jreid.distributed.processes import on_main_process
    from jreid.evaluation import (
        Rerank,
        Wanted,
        choose,
        evaluate,
        raw_first,
        read_features,
        write_result,
    )
    from jreid.runs.score import naming_full_ranking

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
    wanted = [Wanted(0, *one) for one in product(protocols, rerankings)]
    of_file = {name: origin[name] for name in OF_FILE if name in origin}

    def write(result: Mapping[str, Any]) -> None:
        if output:
            on_main_process(lambda: write_result(output, result))

    with ranking_progress() as (tell, progress):

        def evaluated(one: Wanted) -> dict[str, Any]:
            with naming_full_ranking(one.protocol, one.rerank, "--rerank=none"):
                row = evaluate(features, table, index, *one[1:], tell=tell, progress=progress)
            return row | origin["row"]

        results = (
            {"features": str(options.features), **of_file}
            | {"rows": [rows[one] for one in wanted if one in rows]}
            | ({"missing": missing} if missing else {})
            for rows, missing in raw_first(
                wanted, lambda one: on_main_process(lambda: evaluated(one))
            )
        )
        result, unwritten = keep_each(results, write)
    print_table(str(options.features), result["rows"])
    if output and not unwritten:
        print(f"result       {output}")
    raise_incomplete(result, unwritten)


def _origin(options: argparse.Namespace, table: Any, protocols: Sequence[Any]) -> dict[str, Any]:
    """What is known of the features' images and model; `row` are fields of every result row."""
    from jreid.data.known_counts import dataset_of_protocol, feature_faults
    from jreid.data.layouts.layout import raise_faults
    from jreid.evaluation.results.feature_file import read_origin

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
    raise_faults(
        (fault for fault in faults if fault.kind == "error"), options.features, other, most=6
    )
    if not row.get("partial") and not options.allow_partial:
        remedy = f"take them as they are by --allow-partial, which marks every row, {other}"
        raise_faults(faults, options.features, remedy, most=6)
    return {**origin, "row": {"skipped_images": 0, **row, "dataset": name, "partial": partial}}


def write_fault(write: Callable[[], None]) -> InputError | None:
    """Why a result could not be written: numbers that were waited for are printed first."""
    try:
        write()
    except InputError as error:
        return error
    return None


def keep_each(
    results: Iterable[dict[str, Any]], write: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], InputError | None]:
    """Writes each result over the one before; the last one, and why it could not be written."""
    result, unwritten = {}, None
    for result in results:
        unwritten = write_fault(partial(write, result))
    return result, unwritten


def raise_incomplete(result: Mapping[str, Any], unwritten: InputError | None) -> None:
    """Raises InputError where a result could not be written or lacks re-ranked rows."""
    if unwritten:
        raise unwritten
    if missing := result.get("missing"):
        raise InputError(f"the result lacks re-ranked rows: {missing[0]}")


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints result rows under a title."""
    from jreid.console import Console
    from jreid.evaluation.results.tables import format_table

    console = Console(width=max(Console().width, 200))
    console.print(title, markup=False)
    console.print(format_table(rows))
