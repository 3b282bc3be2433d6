"""The protocols and re-rankings of a config, and the queries and galleries they sample."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jreid.data.dataset import Dataset
from jreid.data.layouts.layout import find_layout
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
    """A protocol, and the queries and gallery that it samples from the images of its split.

    Attributes:
        protocol: the rule.
        text: as in the config.
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
        reasons = [f"{absent:,} of people who are not in the gallery"] * bool(absent)
        reasons += [f"{ignored:,} of people who are only in ignored images"] * bool(ignored)
        lost = f"{absent + ignored:,} queries without a match: {', '.join(reasons)}"
        return (
            f"{describe(self.protocol)}: {queries:,} queries, {gallery:,} gallery images; "
            f"{lost if reasons else 'every query has a match'}"
        )


class Draws(NamedTuple):
    """The queries and galleries of a run, sampled once for all its evaluations.

    Attributes:
        test: every protocol of the config, on the test split.
        validation: the first protocol, on the validation identities, for scores during training;
            None if training is not scored.
    """

    test: list[Drawn]
    validation: Drawn | None

    def sentences(self) -> list[str]:
        """A sentence for each protocol on the queries and gallery that it samples."""
        return [str(one) for one in (*self.test, self.validation) if one]


def protocols(config: Config, split: str) -> dict[Protocol, str]:
    """The protocols of the config on a split, and the text of each.

    Raises:
        InputError: as `read_protocols`.
    """
    with _naming("config.protocols"):
        data = config.data
        settings = find_layout(data.layout).values(data)
        return read_protocols(config.protocols, split, dataset=data.layout, **settings)


def described(config: Config) -> list[str]:
    """Descriptions of the protocols that evaluate a run of this config."""
    return [describe(protocol) for protocol in protocols(config, "test")]


def rerankings(config: Config) -> list[Rerank | None]:
    """The re-rankings of the config; None stands for no re-ranking.

    Raises:
        InputError: as `read_reranks`.
    """
    with _naming("config.evaluation.rerank"):
        return read_reranks(config.evaluation.rerank)


def validates(config: Config, dataset: Dataset) -> bool:
    """Whether training is scored on validation identities that it does not train on."""
    left = {*dataset.table.split.tolist()} - {*config.data.train_splits}
    return config.evaluation.every_epochs > 0 and "validation" in left


def draw_protocols(config: Config, dataset: Dataset) -> Draws:
    """Samples the queries and galleries of all protocols of the config.

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
    """Samples the queries and galleries of protocols on one split."""
    split = next(iter(wanted)).split
    table = dataset.table.of_split(split)
    images = table.fingerprint()[:12]
    return [
        Drawn(one, text, table, images, query_gallery(table, dataset.gallery_index, one))
        for one, text in wanted.items()
    ]


def _check_rerank(rerank: Rerank, draws: Sequence[Drawn]) -> None:
    for one in draws:
        drawn = one.query_gallery
        Q, G = drawn.query_rows.shape[1], drawn.gallery_rows.shape[1]
        fault = rerank_fault(rerank, Q, G, mixed=one.protocol.share is not None)
        if fault:
            parameter, why = fault
            raise InputError(
                f"config.evaluation.rerank: {parameter} of {rerank} cannot be used for {Q} queries "
                f"and {G} gallery images ({describe(one.protocol)}): {why}; or evaluate without "
                "re-ranking by --config.evaluation.rerank=none."
            )


@contextlib.contextmanager
def _naming(field: str) -> Iterator[None]:
    """Adds the config field to the message of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{field}: {error}") from error
