"""`jreid recall`: measures the accuracy that an approximate index loses."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import verb
from jreid.errors import InputError


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "measure the accuracy that an approximate index loses: recall@k, rank-1 and mAP"
    recall = verb(verbs, "recall", _recall, help, config=False)
    recall.add_argument(
        "--features",
        type=Path,
        required=True,
        help="embeddings with labels, as for `jreid evaluate --features`",
    )
    recall.add_argument(
        "--protocol", required=True, help="such as sysu_mm01:sampling=seeded; gives the queries"
    )
    recall.add_argument(
        "--index",
        action="append",
        required=True,
        help="a description for faiss's index_factory, such as HNSW32, IVF64,Flat or PQ16. Or a "
        "file of faiss's write_index: it has the protocol's gallery images in the order of the "
        "features (unit vectors, if the distance is the cosine). Or an .npz file of names that a "
        "database found, `queries` [Q] and `found` [Q, top]. May be repeated",
    )
    recall.add_argument(
        "--search", default="", help="faiss's parameters of the search, such as nprobe=16"
    )
    recall.add_argument(
        "--top", type=int, default=100, help="how many images a search finds (default: 100)"
    )
    recall.add_argument(
        "--gallery-index", type=Path, help="path of rand_perm_cam.mat, for the official sampling"
    )


def _recall(options: argparse.Namespace) -> None:
    from jreid.console import Console
    from jreid.data.layouts.sysu_mm01 import read_gallery_index
    from jreid.evaluation import describe, read_protocol
    from jreid.evaluation.results.feature_file import read_in_order, read_origin
    from jreid.retrieval.recall import measure

    if options.top < 1:
        raise InputError(f"--top={options.top} finds nothing; give 1 or more.")
    features, table, order = read_in_order(options.features)
    settings = read_origin(options.features, table).get("settings", {})
    protocol = read_protocol(options.protocol, **settings)
    gallery_index = read_gallery_index(options.gallery_index) if options.gallery_index else {}
    measured = measure(
        features,
        table,
        gallery_index,
        protocol,
        options.index,
        order=order,
        parameters=options.search,
        top=options.top,
    )
    options.document = {
        "features": options.features,
        "protocol": options.protocol,
        "rows": [one._asdict() for one in measured],
    }
    print(f"{options.features}: {describe(protocol)}")
    Console().print(_table(measured))


def _table(measured: Any) -> Any:
    import rich.box
    import rich.table

    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    ks = measured[-1].recall
    table.add_column("search", no_wrap=True)
    for name in (*(f"recall@{k}" for k in ks), "R1", "mAP", "ms a query", "MB"):
        table.add_column(name, justify="right")
    for one in measured:
        shares = [*(one.recall.get(k) for k in ks), one.rank1, one.mean_average_precision]
        cells = ["" if share is None else f"{100 * share:.2f}" for share in shares]
        cells.append("" if one.milliseconds is None else f"{one.milliseconds:.3f}")
        cells.append("" if one.size is None else f"{one.size / 1e6:.1f}")
        table.add_row(one.search, *cells)
    return table
