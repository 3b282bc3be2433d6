"""The folders of a run's checkpoints: which are whole, which is the best, which are removed.

A step is written into a folder of another name and sealed before it gets its number as its name.
So a folder with such a name was whole once, and its manifest says whether it still is.
"""

import contextlib
import fcntl
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jreid.files import rename, rename_whole, write_text
from jreid.runs import manifest

KEPT_STEPS = 2  # of the newest, so that one that is damaged does not end the run
UNFINISHED = ".unfinished"
NOTES_FILE = "notes.json"
WEIGHTS = ("model/params.", "model/model_state.")  # the arrays, which know no time and no place
log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The checkpoint of a kind, `last` or `best`.

    Attributes:
        step: of the checkpoint that is used, None where there is none.
        asked_step: of the one that would be used if none were damaged.
        weights: SHA-256 of the model's arrays, empty without a step.
    """

    step: int | None
    asked_step: int | None
    weights: str


class StepFolders:
    """The steps in a folder. A damaged one is warned of once and not used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._faults: dict[int, str | None] = {}

    def path(self, step: int) -> Path:
        """Where a finished step lies."""
        return self.folder / str(step)

    def unfinished(self, step: int) -> Path:
        """Where a step is written."""
        return self.folder / f"{step}{UNFINISHED}"

    def is_whole(self, step: int) -> bool:
        """Whether a step is as it was saved."""
        if step not in self._faults:
            self._faults[step] = found = manifest.fault(self.path(step))
            if found:
                log.warning("%s is damaged (%s); an earlier one is used.", self.path(step), found)
        return self._faults[step] is None

    def latest(self) -> int | None:
        """The newest step that is whole, None where there is none."""
        return next((step for step in reversed(self._steps()) if self.is_whole(step)), None)

    def best(self) -> int | None:
        """The whole step with the highest score, the newest of equal ones, None without scores."""
        scores = {step: self.notes(step).get("score") for step in self._steps()}
        scored = [(score, step) for step, score in scores.items() if score is not None]
        return max(scored)[1] if scored else None

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint of a kind, `last` or `best`, and which it should be."""
        steps = self._steps()
        if kind == "last":
            step, asked = self.latest(), max(steps, default=None)
        else:
            scores = {step: self._score(step) for step in steps}
            scored = [(score, step) for step, score in scores.items() if score is not None]
            step, asked = self.best(), max(scored)[1] if scored else None
        weights = manifest.digest(self.path(step), WEIGHTS) if step is not None else ""
        return Chosen(step, asked, weights)

    def _score(self, step: int) -> float | None:
        """A step's score, damaged or not; infinite where a damaged one's cannot be read."""
        try:
            return json.loads((self.path(step) / NOTES_FILE).read_text())["score"]
        except (OSError, ValueError, TypeError, KeyError):
            return None if self.is_whole(step) else math.inf

    def notes(self, step: int) -> dict[str, Any]:
        """What was noted beside a step; nothing where it is damaged."""
        return json.loads((self.path(step) / NOTES_FILE).read_text()) if self.is_whole(step) else {}

    def finish(self, step: int, notes: Mapping[str, Any]) -> None:
        """Seals a step that is written, names it, and removes the steps that it replaces.

        Args:
            notes: kept beside it, as JSON; its `score` is what `best` goes by.
        """
        written = self.unfinished(step)
        write_text(written / NOTES_FILE, json.dumps(notes))
        manifest.seal(written)
        self._remove(step)  # a damaged one that is saved again
        rename_whole(written, self.path(step))
        self._faults[step] = None
        whole = [known for known in self._steps() if known <= step and self.is_whole(known)]
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as unread:
            for known in self._steps() if unread else ():  # else the next time
                if known <= step and known not in {*whole[-KEPT_STEPS:], self.best()}:
                    self._remove(known)

    def reading(self) -> contextlib.AbstractContextManager[bool]:
        """Within the block no step is removed by the run that writes."""
        return self._lock(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _lock(self, kind: int) -> Iterator[bool]:
        """Locks the folder; yields False where others hold it, True also without locks."""
        if not self.folder.is_dir():
            yield True
            return
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, kind)
            free = True
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks
            free = True
        try:
            yield free
        finally:
            os.close(handle)

    def clear(self) -> None:
        """Removes what unfinished saves have left."""
        for left in self.folder.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(left)

    def clear_after_failure(self) -> None:
        """As `clear`, while threads of the save that failed may go on writing for a moment."""
        for _ in range(20):
            for left in self.folder.glob(f"*{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
            time.sleep(0.5)
            if not any(self.folder.glob(f"*{UNFINISHED}*")):
                return

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal())

    def _remove(self, step: int) -> None:
        # Renamed first, since a folder of a step must never lack files only because of a kill.
        if self.path(step).exists():
            old = self.folder / f"{step}.old{UNFINISHED}"
            rename(self.path(step), old)
            shutil.rmtree(old)
