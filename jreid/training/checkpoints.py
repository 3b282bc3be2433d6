"""Checkpoints of a run, by Orbax: the newest two and the best on the validation identities."""

from pathlib import Path
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from orbax.checkpoint import v1 as orbax

from jreid.errors import InputError
from jreid.methods import Variables
from jreid.training.state import TrainState

SCORE = "validation_mAP"
KEPT = 2  # of the newest, so that one that is damaged does not end the run
KINDS = ("last", "best")  # newest, and best on the validation identities


class Checkpoints:
    """The checkpoints in a folder, by step. A context manager: leaving it finishes pending saves.

    The model and the optimiser are kept side by side, so that evaluation reads the model alone.
    """

    def __init__(self, folder: Path, writes: bool = False) -> None:
        """`writes` is for the one process that saves: it clears away what a killed one left."""
        policies = orbax.training.preservation_policies
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(KEPT),
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[SCORE],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        self.folder = folder
        self._orbax = orbax.training.Checkpointer(
            str(folder.resolve()),
            preservation_policy=cast(Any, keep),
            cleanup_tmp_directories=writes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orbax.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, None where there is none."""
        return self._orbax.latest.step if self._orbax.latest else None

    def newest(self) -> int:
        """The step of the newest checkpoint.

        Raises:
            InputError: there is none that is whole.
        """
        if self.latest is None:
            raise InputError(f"{self.folder} holds no whole checkpoint; delete it to start anew.")
        return self.latest

    @property
    def best(self) -> int | None:
        """The step that scored best on the validation identities, None where none was scored."""
        kept = [step for step in self._orbax.checkpoints if step.metrics]
        scored = {step.step: cast(Any, step.metrics)[SCORE] for step in kept}
        return max(scored, key=lambda step: (scored[step], step), default=None)

    def step(self, kind: str) -> int | None:
        """The step of the checkpoint of a kind, None where there is none."""
        return self.latest if kind == "last" else self.best

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Saves in the background; `score` is the mAP on the validation identities, if known."""
        self._orbax.save_checkpointables_async(
            int(state.step),
            {"model": _model(state), "optimizer": state.opt_state},
            force=True,
            metrics=None if score is None else {SCORE: score},
        )

    def restore(self, step: int, like: TrainState, sharding: NamedSharding) -> TrainState:
        """The whole state at a step; `like` gives its shapes and types, `sharding` its place.

        Raises:
            InputError: the checkpoint is damaged or of another network or optimiser.
        """
        found = self._load(step, {"model": _model(like), "optimizer": like.opt_state}, sharding)
        model = found["model"]
        taken = jax.device_put(jnp.asarray(step, jnp.int32), sharding)
        return TrainState(taken, model["params"], model["model_state"], found["optimizer"])

    def restore_variables(self, step: int, like: TrainState, sharding: NamedSharding) -> Variables:
        """The model's variables alone, as `restore`."""
        model = self._load(step, {"model": _model(like)}, sharding)["model"]
        return {"params": model["params"], **model["model_state"]}

    def _load(self, step: int, like: dict[str, Any], sharding: NamedSharding) -> dict[str, Any]:
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), like
        )
        try:
            return self._orbax.load_checkpointables(step, target)
        except (ValueError, KeyError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(
                f"{self.folder}, step {step}, does not fit this config or is damaged ({first}); "
                "train into another --workdir, or delete this step to fall back on an earlier one."
            ) from error


def _model(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "model_state": state.model_state}
