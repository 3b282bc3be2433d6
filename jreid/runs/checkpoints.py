"""Checkpoints of a run, by Orbax: the newest two and the best on the validation identities."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from jax.sharding import NamedSharding
from orbax.checkpoint import v1 as orbax

from jreid.distributed.processes import is_main_process, on_main_process, wait_for_all
from jreid.engine.state import TrainState
from jreid.errors import InputError
from jreid.methods import Variables
from jreid.runs.arrays import by_path, require_same
from jreid.runs.checkpoint_folder import Chosen, StepFolders

# One file for each array: then the bytes of a checkpoint depend on its values alone, except those
# of _CHECKPOINT_METADATA (time) and commit_success.txt (place).
# Folders are made at once: if that fails later, Orbax's threads wait 5 minutes for them.
FORMAT = orbax.Context()
FORMAT.array.saving.use_ocdbt = False
FORMAT.asynchronous.create_directories_asynchronously = False


class Checkpoints:
    """The checkpoints in a folder, by step.

    A context manager that finishes pending saves at its end. While a reader is open, the run that
    writes removes no checkpoint. The model and the optimizer are saved separately, so that
    evaluation reads only the model. All processes save and restore; the first one chooses the step.
    """

    def __init__(self, folder: Path, writes: bool = False) -> None:
        """`writes`: for the run that saves; removes the unfinished files of a killed one."""
        self.folder = folder
        self._folders = StepFolders(folder)
        self._reading = contextlib.nullcontext() if writes else self._folders.reading()
        self._saver = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        if writes and is_main_process():
            self._folders.clear()
        wait_for_all("checkpoints")

    def __enter__(self) -> Self:
        self._reading.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.finish()
        except InputError:
            if kind is None:  # an earlier error matters more
                raise
        finally:
            self._saver.shutdown()
            self._reading.__exit__(None, None, None)

    @property
    def latest(self) -> int | None:
        """The step of the newest undamaged checkpoint; None if there is none."""
        return self.step("last")

    @property
    def last_good(self) -> int | None:
        """As `latest`, but works when the save in the background failed; for this process alone."""
        self.wait()
        return self._folders.latest()

    @property
    def best(self) -> int | None:
        """The step with the best score on the validation identities; None if none was scored."""
        return self.step("best")

    def step(self, kind: str) -> int | None:
        """The step of the checkpoint of a kind; None if there is none. See `StepFolders`."""
        self.finish()
        return on_main_process({"last": self._folders.latest, "best": self._folders.best}[kind])

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint of a kind, and the one that it would be without damage."""
        self.finish()
        return Chosen(*on_main_process(lambda: [*self._folders.chosen(kind)]))

    def weights(self, step: int) -> str:
        """SHA-256 of the model's arrays of a step."""
        return on_main_process(lambda: self._folders.weights(step))

    def newest(self) -> int:
        """The step of the newest checkpoint.

        Raises:
            InputError: there is none that is undamaged.
        """
        step = self.latest
        if step is None:
            raise InputError(
                f"{self.folder} has no undamaged checkpoint; remove the folder to train from the "
                "start."
            )
        return step

    def unlogged(self, step: int) -> list[dict[str, float]]:
        """The metrics that were not logged yet when the step was saved."""
        return on_main_process(lambda: self._folders.notes(step)["unlogged"])

    def score(self, step: int) -> float | None:
        """The mAP on the validation identities that was saved with a step, if any."""
        return on_main_process(lambda: self._folders.notes(step).get("score"))

    def save(
        self,
        state: TrainState,
        score: float | None = None,
        unlogged: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Saves in the background.

        Args:
            score: the mAP on the validation identities, if it is known.
            unlogged: metrics, by step, that a resumed run has to log.

        Raises:
            InputError: this or the previous save cannot be written; earlier steps are undamaged.
        """
        self.finish()
        step = int(state.step)

        def start() -> Any:
            with FORMAT:
                return orbax.save_checkpointables_async(
                    str(self._folders.unfinished(step).resolve()),
                    {"model": _model(state), "optimizer": state.opt_state},
                )

        def end() -> None:
            writing.result()
            if is_main_process():
                self._folders.finish(step, {"score": score, "unlogged": [*unlogged]})

        writing = self._written(step, start)
        self._saving = self._saver.submit(self._written, step, end)

    def check(self) -> None:
        """Raises InputError if the save in the background has failed."""
        if self._saving is not None and self._saving.done():
            self.finish()

    def wait(self) -> None:
        """Returns once the save in the background has succeeded or failed; for any thread."""
        if self._saving is not None:
            futures.wait([self._saving])

    def finish(self) -> None:
        """Waits for the save in the background; InputError if it failed."""
        if self._saving is not None:
            saving = self._saving
            futures.wait([saving])
            self._saving = None
            saving.result()

    def restore(self, step: int, like: TrainState, sharding: NamedSharding) -> TrainState:
        """The whole state at a step; `like` gives its shapes and types, `sharding` its devices.

        Raises:
            InputError: the checkpoint is damaged, or belongs to another network or optimizer.
        """
        found = self._load(step, {"model": _model(like), "optimizer": like.opt_state}, sharding)
        model = found["model"]
        taken = jax.device_put(np.int32(step), sharding)
        return TrainState(taken, model["params"], model["model_state"], found["optimizer"])

    def restore_variables(self, step: int, like: TrainState, sharding: NamedSharding) -> Variables:
        """Only the model's variables, as `restore`."""
        model = self._load(step, {"model": _model(like)}, sharding)["model"]
        return {"params": model["params"], **model["model_state"]}

    def _load(self, step: int, like: dict[str, Any], sharding: NamedSharding) -> dict[str, Any]:
        place = str(self._folders.path(step).resolve())
        if not on_main_process(lambda: self._folders.is_whole(step)):
            raise InputError(f"{place} is damaged or missing; choose another step.")
        self._check_fits(step, like)
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), like
        )
        return orbax.load_checkpointables(place, target)

    def _check_fits(self, step: int, like: dict[str, Any]) -> None:
        """Raises InputError with the arrays that differ from `like` in shape or type."""
        place = str(self._folders.path(step).resolve())
        there: Any = orbax.checkpointables_metadata(place).metadata
        require_same(place, by_path(like), by_path({part: there[part] for part in like}))

    def _written(self, step: int, write: Callable[[], Any]) -> Any:
        """The result of `write`; if it fails, removes the unfinished files and names the step."""
        try:
            return write()
        except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:
            if is_main_process():
                self._folders.clear_after_failure()
            cause = str(error).strip().splitlines()[0]
            raise InputError(
                f"the checkpoint of step {step} cannot be written to {self.folder} ({cause}); free "
                "disk space and give the same command again."
            ) from error


def _model(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "model_state": state.model_state}
