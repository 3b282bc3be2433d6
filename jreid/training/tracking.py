"""A copy of a run's config, metrics and results in an experiment tracker; local, unless asked.

Weights & Biases and Trackio are optional packages. What they keep is sent nowhere, unless the user
says so by the tracker's own environment variables, such as WANDB_MODE or TRACKIO_SPACE_ID.
"""

import contextlib
import importlib
import json
import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from jreid import config as configs
from jreid.distributed.processes import is_main_process
from jreid.errors import InputError
from jreid.evaluation.results.measures import MIXED_METRICS, labels_of_rows
from jreid.files import write_text
from jreid.find import require_choice
from jreid.methods import Config
from jreid.optional_parts import require_part
from jreid.runs.check_config import TRACKERS
from jreid.runs.run import Run
from jreid.training.observer import Observer, Step

log = logging.getLogger(__name__)
PROJECT = "jreid"
FILE = "tracker.json"  # in a run's `metrics`


class Backend(Protocol):
    """A tracked run of one package."""

    def __init__(self, workdir: Path, key: str, config: Mapping[str, Any]) -> None:
        """Begins the tracked run of this key, or continues it."""
        ...

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def finish(self) -> None: ...


class Wandb:
    """A run of Weights & Biases, in the working directory's `wandb` until `wandb sync` sends it."""

    def __init__(self, workdir: Path, key: str, config: Mapping[str, Any]) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb: Any = importlib.import_module("wandb")
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=workdir.name,
            id=key,
            resume="allow",
            mode=mode,
            dir=str(workdir),
            config=dict(config),
            settings=wandb.Settings(console="off"),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def finish(self) -> None:
        self._run.finish()


class Trackio:
    """A run of Trackio, in its store on this machine, which `trackio show` shows."""

    def __init__(self, workdir: Path, key: str, config: Mapping[str, Any]) -> None:
        self._trackio: Any = importlib.import_module("trackio")
        name = f"{workdir.name}-{key}"  # by which Trackio finds the run again
        with _hub_unasked():
            self._trackio.init(
                project=PROJECT, name=name, resume="allow", config=dict(config), embed=False
            )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._trackio.log(dict(metrics), step=step)

    def finish(self) -> None:
        self._trackio.finish()  # of the run alone would be repeated when the process exits


BACKENDS: Mapping[str, type[Backend]] = {"wandb": Wandb, "trackio": Trackio}


class Tracker(Observer):
    """Logs to the tracker that the config names, if any; a context manager.

    The tracked run begins with the first metrics. A resumed run continues it: `tracker.json` has
    its key, and the last step of each kind of metrics, which is not logged again. If the tracker
    fails, it gets nothing more, and the first failure is logged. Of several processes the first
    one logs.
    """

    def __init__(self, config: Config, run: Run) -> None:
        self._kind, self._config, self._run = config.tracker, config, run
        self._works = self._kind != "none" and is_main_process()
        self._backend: Backend | None = None
        self._states: dict[str, Any] = {}  # the content of tracker.json
        self._state: dict[str, Any] = {}  # this tracker's part of it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._backend:
            self._try(self._backend.finish)

    def on_step(self, step: Step) -> None:
        """Logs the means, if any."""
        if step.means is not None:
            metrics = {"epoch": step.epoch, **step.means}
            self._log("means", step.number, metrics | {"images_per_second": step.images_per_second})

    def on_validation(self, number: int, metrics: Mapping[str, float]) -> None:
        """Logs the score."""
        self._log("validation", number, metrics)

    def on_result(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs the rows of a result on the test split, at the last step of all."""
        if rows:
            metrics: dict[str, float] = {}
            for row, label in zip(rows, labels_of_rows(rows), strict=True):
                metrics |= _numbers(row, label)
            self._log("result", max(row["step"] for row in rows), metrics)

    def _log(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        self._try(lambda: self._log_new(kind, step, metrics))

    def _log_new(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        backend = self._backend or self._begin()
        if step > self._state["steps"].get(kind, -1):
            backend.log(step, metrics)
            self._state["steps"][kind] = step
            self._write_state()

    def _begin(self) -> Backend:
        """The tracked run of the working directory, which is a new one if there is none."""
        self._states = _read(self._file)
        new = {"key": uuid.uuid4().hex[:8], "steps": {}}
        self._state = self._states.setdefault(self._kind, new)
        config = json.loads(configs.to_text(self._config))
        self._backend = BACKENDS[self._kind](self._run.workdir, self._state["key"], config)
        return self._backend

    @property
    def _file(self) -> Path:
        return self._run.metrics / FILE

    def _write_state(self) -> None:
        write_text(self._file, json.dumps(self._states) + "\n")

    def _try(self, call: Callable[[], object]) -> None:
        if not self._works:
            return
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                call()
        except Exception as error:  # another package, which must not end a training
            self._works = False
            log.warning(
                "config.tracker=%s has failed (%s: %s): it gets nothing more of %s, which goes on.",
                self._kind,
                type(error).__name__,
                " ".join(str(error).split())[:200],
                self._run.workdir,
            )


def require_tracker(kind: str) -> None:
    """Raises InputError if there is no tracker of this name, or its package is not installed."""
    require_choice("tracker", kind, TRACKERS)
    if kind != "none":
        require_part(kind, f"config.tracker={kind}", "give --config.tracker=none")


def _read(file: Path) -> dict[str, Any]:
    """The content of `tracker.json`; InputError if it is damaged."""
    try:
        return json.loads(file.read_text()) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({error}); remove it to begin a new tracked run"
        ) from error


def _numbers(row: Mapping[str, Any], label: str) -> dict[str, float]:
    """A row's numbers, by names such as `test/last/sysu_mm01 all/none/mAP`."""
    place = f"test/{row['checkpoint']}/{label}/{row['rerank']}"
    numbers = {"rank1": row["cmc"]["1"], "mAP": row["mAP"], "mINP": row["mINP"]}
    mixed = row.get("mixed") or {}  # of a gallery of both modalities
    numbers |= {name: mixed[name]["mean"] for name in MIXED_METRICS if mixed.get(name)}
    return {f"{place}/{name}": value for name, value in numbers.items()}


@contextlib.contextmanager
def _hub_unasked() -> Iterator[None]:
    """Keeps Trackio from asking the hub for the user's name, as it does also for a local run."""
    from huggingface_hub import constants

    if os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL"):
        yield
        return
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
