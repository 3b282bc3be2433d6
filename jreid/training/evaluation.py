"""A run's result: its checkpoints' scores on the test split."""

from collections.abc import Callable
from typing import Any

from jreid.data.dataset import Dataset
from jreid.errors import InputError
from jreid.methods import Config
from jreid.training import scoring
from jreid.training.checkpoints import KINDS, Checkpoints
from jreid.training.model import Model
from jreid.training.run import Run


def evaluate_run(
    config: Config,
    run: Run,
    dataset: Dataset,
    tell: Callable[[str, int], None] = lambda text, needed: None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Result rows on the test split, of the last checkpoint and of the best on validation.

    They are two results: the test split picks neither.

    Args:
        tell, progress: as in `jreid.evaluation.evaluate`.

    Raises:
        InputError: the run has no checkpoint, or the dataset does not allow the protocols.
    """
    scoring.check_protocols(config, dataset)
    model = Model(config)
    wanted = scoring.protocols(config, "test")
    results: dict[int, list[dict[str, Any]]] = {}
    with Checkpoints(run.checkpoints) as checkpoints:
        steps = {kind: checkpoints.step(kind) for kind in KINDS}
        if steps["last"] is None:
            raise InputError(f"{run.workdir} has no checkpoint yet; train it first.")
        for step in {step for step in steps.values() if step is not None}:
            variables = model.restore_variables(checkpoints, step)
            table, features = scoring.split_embeddings(model, variables, dataset, "test")
            reranked = scoring.rerankings(config)
            results[step] = scoring.score(
                model, dataset, table, features, wanted, reranked, tell, progress
            )
    return [
        {"checkpoint": kind, "step": step, **row}
        for kind, step in steps.items()
        if step is not None
        for row in results[step]
    ]
