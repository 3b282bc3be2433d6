"""`jreid evaluate --features`: features of any model, by every protocol."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from jreid.commands.results import (
    document,
    keep_each,
    print_table,
    raise_incomplete,
    require_result_output,
)
from jreid.datasets import DATASETS, LAYOUTS
from jreid.errors import InputError
from jreid.progress import TerminalBar

log = logging.getLogger(__name__)
FLAGS = ("protocol", "dataset", "gallery_index", "rerank", "allow_partial")
OF_FILE = ("config_hash", "extraction", "data_fingerprint")  # kept from a run's embeddings


def add_flags(group: Any) -> None:
    """Adds the flags that go with --features."""
    group.add_argument(
        "--protocol",
        action="append",
        help="such as sysu_mm01:search=all,shots=1 or regdb:split_number=1 (`jreid list protocols` "
        "shows all), or your own function as package.module.function; may be repeated",
    )
    group.add_argument(
        "--dataset",
        help="dataset of the images (default: as `jreid embed` recorded it, else the protocol's "
        "own dataset, whose image counts are checked)",
    )
    group.add_argument(
        "--allow-partial",
        action="store_true",
        default=None,
        help="accept fewer images than the dataset has; every row is marked as partial",
    )
    group.add_argument(
        "--gallery-index", type=Path, help="path of rand_perm_cam.mat, for the official sampling"
    )
    group.add_argument(
        "--rerank",
        action="append",
        help="such as none,standard:k1=20,k2=6,lambda=0.3 (`jreid list rerankings` shows all); one "
        "row for each (default: none)",
    )


def evaluate_features(options: argparse.Namespace) -> None:
    """Evaluates the features, writes the result and prints it.

    Raises:
        InputError: bad input; or the result cannot be written, or a re-ranking has failed: then the
            rows that are complete are printed first.
    """
    from jreid.data.layouts.sysu_mm01 import read_gallery_index
    from jreid.distributed.processes import is_main_process, on_main_process, require_same
    from jreid.evaluation import (
        Wanted,
        evaluate,
        raw_first,
        read_features,
        read_protocols,
        read_reranks,
        write_result,
    )
    from jreid.evaluation.results.feature_file import read_origin
    from jreid.runs.score import devices_of_all, explain_full_ranking

    if not options.protocol:
        raise InputError("--features needs --protocol, such as --protocol=sysu_mm01.")
    output = options.output
    require_result_output(output)
    rerankings = read_reranks(options.rerank or ["none"])
    features, table = read_features(options.features)
    require_same(str(options.features), features)
    origin = read_origin(options.features, table)
    protocols = read_protocols(options.protocol, **origin.get("settings", {}))
    origin = _checked(origin, options, table, [*protocols])
    index = read_gallery_index(options.gallery_index) if options.gallery_index else {}
    wanted = [Wanted(0, *one) for one in product(protocols, rerankings)]
    of_file = {name: origin[name] for name in OF_FILE if name in origin}

    def write(result: Mapping[str, Any]) -> None:
        if output:
            on_main_process(lambda: write_result(output, result))

    with TerminalBar(is_main_process()) as bar:

        def evaluated(one: Wanted) -> dict[str, Any]:
            with explain_full_ranking(one.protocol, one.rerank, "--rerank=none"):
                row = evaluate(
                    features, table, index, one.protocol, one.rerank, bar=bar, **devices_of_all()
                )
            return {"protocol_text": protocols[one.protocol], **row, **origin["row"]}

        results = (
            {"features": str(options.features), **of_file}
            | {"rows": [rows[one] for one in wanted if one in rows]}
            | ({"missing": missing} if missing else {})
            for rows, missing in raw_first(wanted, evaluated)
        )
        result, unwritten = keep_each(results, write)
    options.document = document(result, None if unwritten else output)
    print_table(str(options.features), result["rows"])
    if output and not unwritten:
        print(f"result       {output}")
    raise_incomplete(result, unwritten)


def _checked(
    origin: Mapping[str, Any], options: argparse.Namespace, table: Any, protocols: Sequence[Any]
) -> dict[str, Any]:
    """The origin with the marks of an incomplete file; `row` has fields of every result row."""
    from jreid.data.known_counts import feature_faults
    from jreid.data.layouts.layout import raise_faults

    row = origin.get("row", {})
    written = row.get("dataset", options.dataset)
    if options.dataset not in (None, written):
        raise InputError(
            f"{options.features} holds features of {written}, not of {options.dataset}; leave "
            "--dataset out."
        )
    if options.dataset and options.dataset not in {
        known.name or name for name, known in DATASETS.items()
    }:
        log.warning(
            "--dataset=%s is no dataset that jreid knows (%s, ...), so the number of its images is "
            "not checked.",
            *(options.dataset, ", ".join(LAYOUTS)),
        )
    name = written or _dataset_of(protocols)
    faults = feature_faults(name, table, row.get("of_split", "test"), _cameras(protocols))
    partial = bool(faults) or bool(row.get("partial"))
    other = f"or, if they are not of {name}, give their dataset by --dataset=NAME"
    raise_faults(
        (fault for fault in faults if fault.kind == "error"), options.features, other, most=6
    )
    if not row.get("partial") and not options.allow_partial:
        remedy = f"accept them by --allow-partial, which marks every row, {other}"
        raise_faults(faults, options.features, remedy, most=6)
    return {**origin, "row": {"skipped_images": 0, **row, "dataset": name, "partial": partial}}


def _cameras(protocols: Sequence[Any]) -> dict[str, set[int]]:
    """The cameras that any of the protocols uses, by modality; empty for all."""
    used: dict[str, list[Sequence[int]]] = {}
    for one in protocols:
        sides = zip(
            one.direction.split("_to_"), (one.query_cameras, one.gallery_cameras), strict=True
        )
        for modality, cameras in sides:
            used.setdefault(modality, []).append(cameras)
    return {
        modality: {*chain(*several)} if all(several) else set()
        for modality, several in used.items()
    }


def _dataset_of(protocols: Sequence[Any]) -> str:
    from jreid.data.known_counts import dataset_of_protocol

    names = (one.dataset or dataset_of_protocol(one.name) for one in protocols)
    first, *others = dict.fromkeys(names)
    if others:
        raise InputError(
            f"the protocols belong to {first} and {others[0]}; give the dataset of the features by "
            "--dataset=NAME."
        )
    return first
