"""Measures how far apart a run's embeddings of the two modalities are.

python -m experiments.modality_gap runs/first runs/second

For each run, on its test split: rank-1 of each infrared image among the other infrared images, of
each visible one among the other visible ones, and of each infrared one among all visible ones; and
the share of visible images among the 20 nearest neighbors of an infrared one. For IDKL, the same of
its specific branch, and of both branches side by side: what one knows and the other does not.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.sweep import report
from jreid import process
from jreid.commands.common import dataset_of
from jreid.data.table import Table
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.methods import Config, Method, load
from jreid.methods.idkl.network import Network, Output
from jreid.runs.chosen import checkpoint_variables
from jreid.runs.run import Run
from jreid.runs.score import split_embeddings

NEIGHBORS = 20
BLOCK = 1024  # images whose similarities are computed at once

# The embeddings `[N, D]` of a method's outputs, by name.
Readers = Mapping[str, Callable[[Output], Float[Array, "n d"]]]


class Gap(NamedTuple):
    """Shares between 0 and 1.

    Attributes:
        infrared: rank-1 of infrared images among the other infrared ones.
        visible: rank-1 of visible images among the other visible ones.
        across: rank-1 of infrared images among all visible ones.
        visible_neighbors: share of visible images among the nearest neighbors of an infrared one.
    """

    infrared: float
    visible: float
    across: float
    visible_neighbors: float


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.modality_gap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdir", type=Path, nargs="+", help="of a run")
    options = parser.parse_args(arguments)
    process.configure()
    print("| run | embedding | within infrared | within visible | across | visible neighbors |")
    print("| --- | --- | --- | --- | --- | --- |")
    try:
        for workdir in options.workdir:
            for name, gap in gaps_of(Run(workdir)):
                cells = " | ".join(f"{100 * value:.1f}" for value in gap)
                print(f"| {workdir} | {name} | {cells} |", flush=True)
    except InputError as error:
        sys.exit(report(error))


def gaps_of(run: Run) -> Iterator[tuple[str, Gap]]:
    """The gap of the last checkpoint's embeddings; for IDKL, of each branch's."""
    config = run.config()
    model = Model(config)
    variables, _ = checkpoint_variables(model, run, "last")
    dataset = dataset_of(config)
    table, features = split_embeddings(model, variables, dataset, "test")
    yield "of the method", measure(features, table)
    if config.method == "idkl":
        for name, read in READERS.items():
            other = Model(config, method=reading(config, read))
            _, features = split_embeddings(other, variables, dataset, "test")
            yield name, measure(features, table)


def _side_by_side(out: Output) -> Float[Array, "n d"]:
    both = (out.shared.embedding, out.specific.embedding)
    return jnp.concatenate([x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in both], axis=1)


READERS: Readers = {
    "of the specific branch": lambda out: out.specific.embedding,
    "of both, side by side": _side_by_side,
}


def reading(config: Config, read: Callable[[Output], Array]) -> Method:
    """IDKL with other embeddings of its network's outputs."""
    apply: Any = Network(config).apply

    def embed(variables: Any, images: Array, modality: str) -> Array:
        return read(apply(variables, {modality: images}, train=False))

    return load(config)._replace(embed=embed)


def measure(features: Float[np.ndarray, "n d"], table: Table) -> Gap:
    """The gap of embeddings of images of both modalities, by cosine similarity.

    Raises:
        InputError: a modality has no images.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    infrared, visible = (np.flatnonzero(table.modality == m) for m in ("infrared", "visible"))
    if not (infrared.size and visible.size):
        raise InputError("the test split has images of one modality only; there is no gap.")
    everyone = np.arange(len(unit))

    def rank_1(queries: np.ndarray, gallery: np.ndarray) -> float:
        first = nearest(unit, queries, gallery, 1)[:, 0]
        return float((table.identity[first] == table.identity[queries]).mean())

    neighbors = nearest(unit, infrared, everyone, NEIGHBORS)
    return Gap(
        rank_1(infrared, infrared),
        rank_1(visible, visible),
        rank_1(infrared, visible),
        float((table.modality[neighbors] == "visible").mean()),
    )


def nearest(
    unit: Float[np.ndarray, "n d"],
    queries: Int[np.ndarray, " q"],
    gallery: Int[np.ndarray, " g"],
    k: int,
) -> Int[np.ndarray, "q k"]:
    """Rows of the k gallery images that are nearest to each query, itself left out."""
    found = []
    for start in range(0, len(queries), BLOCK):
        some = queries[start : start + BLOCK]
        similarity = unit[some] @ unit[gallery].T
        similarity[some[:, None] == gallery[None]] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        found.append(gallery[order])
    return np.concatenate(found)


if __name__ == "__main__":
    main()
