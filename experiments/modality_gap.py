"""Measures how far apart a run's embeddings of the two modalities are.

python -m experiments.modality_gap runs/first runs/second

For each run, on its test split: rank-1 of each infrared image among the other infrared images, of
each visible one among the other visible ones, and of each infrared one among all visible ones; and,
as in the report, the share of the other modality among an image's 20 nearest neighbors, beside the
share of that modality among all images. If there are more than 4,000 images, these two shares are
of 4,000 random ones; the last column has their number. For IDKL, the same of its specific branch,
and of both branches side by side: which identities only one branch can tell apart.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jreid import markdown, process
from jreid.commands.common import add_trust_flag, own_dataset
from jreid.commands.exit_status import exit_status
from jreid.data.table import Table
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.evaluation import cmc_map
from jreid.find import Trust
from jreid.methods import Config, Method, load
from jreid.methods.idkl.network import Network, Output
from jreid.report.modality_gap import modality_gap
from jreid.runs.chosen import checkpoint_variables
from jreid.runs.run import Run
from jreid.runs.score import split_embeddings

# The embeddings `[N, D]` of a method's outputs, by name.
Readers = Mapping[str, Callable[[Output], Float[Array, "n d"]]]


class Gap(NamedTuple):
    """Shares between 0 and 1, and of how many images some are.

    Attributes:
        infrared: rank-1 of infrared images among the other infrared ones.
        visible: rank-1 of visible images among the other visible ones.
        across: rank-1 of infrared images among all visible ones.
        neighbors: share of the other modality among the nearest neighbors.
        expected: that share if the modality had no influence.
        images: the number of images that have these two shares.
    """

    infrared: float
    visible: float
    across: float
    neighbors: float
    expected: float
    images: int


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.modality_gap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdir", type=Path, nargs="+", help="of a run")
    add_trust_flag(parser)
    options = parser.parse_args(arguments)
    process.configure()
    Trust.given = options.trust_code
    return exit_status(lambda: _print_gaps(options.workdir))


def _print_gaps(workdirs: Sequence[Path]) -> None:
    heads = ["within infrared", "within visible", "across", "neighbors", "expected", "images"]
    print(markdown.table(["run", "embedding", *heads], []))
    for workdir in workdirs:
        for name, gap in gaps_of(Run(workdir)):
            cells = [f"{100 * value:.1f}" for value in gap[:-1]]
            print(markdown.row([f"{workdir}", name, *cells, f"{gap.images}"]), flush=True)


def gaps_of(run: Run) -> Iterator[tuple[str, Gap]]:
    """The gap of the last checkpoint's embeddings; for IDKL, of each branch's."""
    config = run.config()
    dataset = own_dataset(config, run, "put the run's data there")
    model = Model(config)
    variables, _ = checkpoint_variables(model, run, "last")
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
        InputError: a modality has fewer than two images.
    """
    infrared, visible = (np.flatnonzero(table.modality == m) for m in ("infrared", "visible"))
    if min(len(infrared), len(visible)) < 2:
        raise InputError(
            f"the test split has {len(visible)} visible and {len(infrared)} infrared images; a gap "
            "needs two or more of each."
        )

    def rank_1(query: np.ndarray, gallery: np.ndarray) -> float:
        people = table.identity[query], table.identity[gallery]
        # Each image is a group of its own, so that it does not find itself.
        scores = cmc_map(features[query], features[gallery], *people, query, gallery, cmc="image")
        matched = scores.matches > 0
        if not matched.any():
            raise InputError(
                "no person has two images of one modality, or images of both; a gap needs some."
            )
        return float((scores.rank[matched] == 1).mean())

    gap = modality_gap(features, table.identity, table.modality)
    within = rank_1(infrared, infrared), rank_1(visible, visible)
    return Gap(*within, rank_1(infrared, visible), gap.other_modality, gap.expected, gap.images)


if __name__ == "__main__":
    sys.exit(main())
