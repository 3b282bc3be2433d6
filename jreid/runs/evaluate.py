"""A run's result: its checkpoints' scores on the test split, and where these numbers come from."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.evaluation import Wanted, raw_first
from jreid.methods import Config, Variables
from jreid.progress import ProgressBar, silent
from jreid.runs import score
from jreid.runs.chosen import checkpoint_fields, extraction_of, open_checkpoints
from jreid.runs.protocols import Draws, rerankings
from jreid.runs.record import first_weights, marks_of_record, provenance
from jreid.runs.run import Run


class EmbeddedRun(NamedTuple):
    """The images of the test split, embedded by a run's checkpoints.

    Attributes:
        model: the run's model.
        checkpoints: the fields of a result row that describe each checkpoint, the last one first.
        variables: of the last checkpoint.
        features: `[N, D]` embeddings of the split, by the checkpoint's step.
    """

    model: Model
    checkpoints: list[dict[str, Any]]
    variables: Variables
    features: dict[int, Float[np.ndarray, "n d"]]

    @property
    def last(self) -> Float[np.ndarray, "n d"]:
        """The embeddings by the last checkpoint."""
        return self.features[self.checkpoints[0]["step"]]


def embed_test_split(
    config: Config, run: Run, dataset: Dataset, every: bool = True, bar: ProgressBar = silent
) -> EmbeddedRun:
    """Embeds the test split by the run's last checkpoint, and by the best on validation.

    Args:
        every: whether to use both; else the last one only.
        bar: shows how many images are embedded.

    Raises:
        InputError: the run has no checkpoint.
    """
    with run.explain_revision():
        model = Model(config)
    with open_checkpoints(run) as checkpoints:
        of_kinds = checkpoint_fields(checkpoints, run.record())[: None if every else 1]
        if not of_kinds:
            raise InputError(
                f"{run.workdir} has no undamaged checkpoint; train it first{run.other_revision()}."
            )
        embedded, last = {}, {}
        for step in {fields["step"] for fields in of_kinds}:
            with run.explain_revision():
                variables = checkpoints.restore_variables(step, model.shapes(), model.sharding)
            _, embedded[step] = score.split_embeddings(model, variables, dataset, "test", bar)
            if step == of_kinds[0]["step"]:
                last = variables
    return EmbeddedRun(model, of_kinds, last, embedded)


def evaluate_run(
    config: Config,
    run: Run,
    dataset: Dataset,
    draws: Draws,
    bar: ProgressBar = silent,
    marks: Mapping[str, Any] | None = None,
    embedded: EmbeddedRun | None = None,
) -> Iterator[dict[str, Any]]:
    """The result on the test split, of the last checkpoint and of the best on validation.

    Both are reported, since the test split must not choose between them. Yields the result with the
    rows that are not re-ranked first, and then the complete result.

    Args:
        draws: the queries and galleries that the config's protocols sample.
        bar: as in `jreid.evaluation.evaluate`.
        marks: fields for every row, besides those of the run's record.
        embedded: the test split, if it is embedded already.

    Yields:
        `provenance`, `stands_for`, `first_weights`, `rows`, and, if re-rankings have failed,
        `missing`: the reasons.

    Raises:
        InputError: the run has no checkpoint, or there is no row.
    """
    embedded = embedded or embed_test_split(config, run, dataset, bar=bar)
    drawn = {one.protocol: one for one in draws.test}

    def row(one: Wanted) -> dict[str, Any]:
        features = embedded.features[one.features]
        return score.score(embedded.model, dataset, drawn[one.protocol], features, one.rerank, bar)

    each = [*product(drawn, rerankings(config))]
    origin = {**provenance(config), **stands_for(config, dataset), **first_weights(run.record())}
    marks = {**marks_of_record(run.record()), **(marks or {})}
    wanted_rows = [Wanted(step, *one) for step in embedded.features for one in each]
    for rows, missing in raw_first(wanted_rows, row):
        written = [
            {**fields, **rows[wanted], **marks}
            for fields in embedded.checkpoints
            for one in each
            if (wanted := Wanted(fields["step"], *one)) in rows
        ]
        yield {**origin, "rows": written} | ({"missing": missing} if missing else {})


def stands_for(config: Config, dataset: Dataset) -> dict[str, Any]:
    """The source of a result's numbers, apart from their protocols.

    Returns:
        `config_hash`; `extraction`: the fields that decide how features are extracted;
        `data_fingerprint`; and `files_fingerprint`, of the files as they were.
    """
    return {
        "config_hash": configs.digest(config),
        "extraction": extraction_of(config),
        "data_fingerprint": dataset.fingerprint,
        "files_fingerprint": dataset.files_fingerprint,
    }
