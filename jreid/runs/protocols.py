"""The protocols and re-rankings of a config, and what they draw from its dataset."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jreid.data.dataset import Dataset
from jreid.data.table import Table
from jreid.errors import InputError
from jreid.evaluation import (
    Protocol,
    QueryGallery,
    Rerank,
    describe,
    most_unmatched,
    query_gallery,
    read_protocols,
    read_reranks,
    rerank_fault,
)
from jreid.methods import Config


class Drawn(NamedTuple):
    """A protocol, and what it draws from the images of its split.

    Attributes:
        protocol: the rule.
        text: as the config has it.
        table: the images of the split.
        images: 12 digits of the table's fingerprint.
        query_gallery: rows of the table.
    """

    protocol: Protocol
    text: str
    table: Table
    images: str
    query_gallery: QueryGallery

    def __str__(self) -> str:
        queries = self.query_gallery.query_rows.shape[1]
        gallery = self.query_gallery.gallery_rows.shape[1]
        absent, ignored = most_unmatched(self.query_gallery, self.table)
        return (
            f"{describe(self.protocol)}: {queries:,} queries, {gallery:,} gallery images; "
            f"{absent + ignored:,} queries without a match ({absent:,} of identities not in the "
            f"gallery, {ignored:,} only in ignored images)"
        )


class Draws(NamedTuple):
    """What a run is evaluated by, drawn once for all its evaluations.

    Attributes:
        test: every protocol of the config, on the test split.
        validation: the first one on the validation identities, which training watches; None where
            it watches nothing.
    """

    test: list[Drawn]
    validation: Drawn | None

    def sentences(self) -> list[str]:
        """What each protocol draws, in words."""
        return [str(one) for one in (*self.test, self.validation) if one]


def protocols(config: Config, split: str) -> dict[Protocol, str]:
    """The protocols of the config on a split, and the text of each.

    Raises:
        InputError: as `read_protocols`.
    """
    with _naming("config.protocols"):
        return read_protocols(config.protocols, split, config.data.split_number)


def described(config: Config) -> list[str]:
    """The protocols that a run of this config will be evaluated by, in words."""
    return [describe(protocol) for protocol in protocols(config, "test")]


def rerankings(config: Config) -> list[Rerank | None]:
    """The re-rankings of the config, None for the raw distances.

    Raises:
        InputError: as `read_reranks`.
    """
    with _naming("config.evaluation.rerank"):
        return read_reranks(config.evaluation.rerank)


def validates(config: Config, dataset: Dataset) -> bool:
    """Whether training is watched on validation identities: there are some, not trained on."""
    left = {*dataset.table.split.tolist()} - {*config.data.train_splits}
    return config.evaluation.every_epochs > 0 and "validation" in left


def draw_protocols(config: Config, dataset: Dataset) -> Draws:
    """Draws the queries and galleries of every protocol that the config is evaluated by.

    Raises:
        InputError: the dataset does not allow one of them, or has too few images for one of the
            config's re-rankings.
    """
    test = _draw(protocols(config, "test"), dataset)
    for rerank in rerankings(config):
        if rerank:
            _check_rerank(rerank, test)
    if not validates(config, dataset):
        return Draws(test, None)
    first, text = next(iter(protocols(config, "validation").items()))
    return Draws(test, _draw({first: text}, dataset)[0])


def _draw(wanted: dict[Protocol, str], dataset: Dataset) -> list[Drawn]:
    """What protocols of one split draw."""
    split = next(iter(wanted)).split
    table = dataset.table.take(dataset.table.split == split)
    images = table.fingerprint()[:12]
    return [
        Drawn(one, text, table, images, query_gallery(table, dataset.gallery_index, one))
        for one, text in wanted.items()
    ]


def _check_rerank(rerank: Rerank, draws: Sequence[Drawn]) -> None:
    for one in draws:
        drawn = one.query_gallery
        Q, G = drawn.query_rows.shape[1], drawn.gallery_rows.shape[1]
        fault = rerank_fault(rerank, Q, G)
        if fault:
            parameter, why = fault
            raise InputError(
                f"config.evaluation.rerank: {parameter} of {rerank} cannot be used for {Q} queries "
                f"and {G} gallery images ({describe(one.protocol)}): {why}; or evaluate without "
                "re-ranking by --config.evaluation.rerank=none."
            )


@contextlib.contextmanager
def _naming(field: str) -> Iterator[None]:
    """Names the config's field in the sentence of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{field}: {error}") from error
