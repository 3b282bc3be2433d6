"""The folders of a run's checkpoints: which are complete, which is the best, which are removed.

A step is written into a folder with another name and sealed by a manifest before the folder is
renamed to the step's number. So a folder with such a name was complete once, and its manifest
shows whether it still is.
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

from jreid.files import rename, sync_all, write_text
from jreid.runs import manifest

CHECKPOINTS = ("last", "best")  # the newest, and the best on the validation identities
KEPT_STEPS = 2  # newest ones, so that a run can resume even if the last one is damaged
UNFINISHED = ".unfinished"
REPLACED = f".old{UNFINISHED}"  # of a step that is saved again
PATIENCE = 60.0  # seconds that a save waits for those who read the step
NOTES_FILE = "notes.json"
WEIGHTS = ("model/params.", "model/model_state.")  # arrays alone: no time and no path
log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The checkpoint of a kind, `last` or `best`.

    Attributes:
        step: of the checkpoint that is used, None where there is none.
        asked_step: of the checkpoint that would be used if none were damaged.
    """

    step: int | None
    asked_step: int | None


class StepFolders:
    """The steps in a folder. A damaged step is not used, and logged once as a warning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._faults: dict[int, str | None] = {}

    def path(self, step: int) -> Path:
        """The folder of a finished step."""
        return self.folder / str(step)

    def unfinished(self, step: int) -> Path:
        """The folder that a step is written into before it is finished."""
        return self.folder / f"{step}{UNFINISHED}"

    def steps(self) -> list[int]:
        """The finished steps in ascending order, damaged ones too."""
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal())

    def is_whole(self, step: int) -> bool:
        """Whether a step's files are as they were saved."""
        if step not in self._faults:
            self._faults[step] = found = manifest.fault(self.path(step))
            if found:
                log.warning("%s is damaged (%s); an earlier one is used.", self.path(step), found)
        return self._faults[step] is None

    def latest(self) -> int | None:
        """The newest undamaged step; None if there is none."""
        return next((step for step in reversed(self.steps()) if self.is_whole(step)), None)

    def best(self) -> int | None:
        """The undamaged step with the highest score, the newest of equal ones; else None."""
        return _best({step: self.notes(step).get("score") for step in self.steps()})

    def chosen(self, kind: str) -> Chosen:
        """The checkpoint of a kind, `last` or `best`, and what it would be without damage."""
        steps = self.steps()
        if kind == "last":
            step, asked = self.latest(), max(steps, default=None)
        else:
            step, asked = self.best(), _best({step: self._score(step) for step in steps})
        return Chosen(step, asked)

    def weights(self, step: int) -> str:
        """SHA-256 of the model's arrays of a step."""
        return manifest.digest(self.path(step), WEIGHTS)

    def _score(self, step: int) -> float | None:
        """A step's score, damaged or not; infinite if it cannot be read."""
        try:
            return json.loads((self.path(step) / NOTES_FILE).read_text())["score"]
        except (OSError, ValueError, TypeError, KeyError):
            return None if self.is_whole(step) else math.inf

    def notes(self, step: int) -> dict[str, Any]:
        """The notes that were saved with a step; empty if it is damaged."""
        return json.loads((self.path(step) / NOTES_FILE).read_text()) if self.is_whole(step) else {}

    def finish(self, step: int, notes: Mapping[str, Any]) -> None:
        """Seals and renames a written step, and removes the steps that it replaces.

        Args:
            notes: saved with the step as JSON; `best` compares their `score`.
        """
        written = self.unfinished(step)
        write_text(written / NOTES_FILE, json.dumps(notes))
        manifest.seal(written)
        self._put_in_place(step, written)
        self._faults[step] = None
        whole = [known for known in self.steps() if known <= step and self.is_whole(known)]
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as unread:
            for known in self.steps() if unread else ():  # else the next save removes it
                if known <= step and known not in {*whole[-KEPT_STEPS:], self.best()}:
                    self._remove(known)

    def _put_in_place(self, step: int, written: Path) -> None:
        """Renames a written step. One that is there already, without a score, is removed last."""
        sync_all(written)
        if not self.path(step).exists():
            rename(written, self.path(step))
            return
        with self._no_reader(PATIENCE):
            rename(self.path(step), self._replaced(step))
            rename(written, self.path(step))
            shutil.rmtree(self._replaced(step))

    def _replaced(self, step: int) -> Path:
        return self.folder / f"{step}{REPLACED}"

    @contextlib.contextmanager
    def _no_reader(self, seconds: float) -> Iterator[None]:
        """Waits until nobody reads, but not longer: a reader may have been suspended."""
        end = time.monotonic() + seconds
        while True:
            with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as unread:
                if unread or time.monotonic() > end:
                    yield
                    return
            time.sleep(0.1)

    def reading(self) -> contextlib.AbstractContextManager[bool]:
        """Within the block the run that writes removes no step."""
        return self._lock(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _lock(self, kind: int) -> Iterator[bool]:
        """Locks the folder; yields False if another process holds the lock, else True."""
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
        """Removes the files of unfinished saves; a step that lost its name has it again."""
        for old in self.folder.glob(f"*{REPLACED}"):
            path = self.folder / old.name.removesuffix(REPLACED)
            if not path.exists() and manifest.fault(old) is None:
                rename(old, path)
        for left in self.folder.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(left)

    def clear_after_failure(self) -> None:
        """As `clear`, although threads of the failed save may still write for a moment."""
        for _ in range(20):
            for left in self.folder.glob(f"*{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
            time.sleep(0.5)
            if not any(self.folder.glob(f"*{UNFINISHED}*")):
                return

    def _remove(self, step: int) -> None:
        # Renamed first: if the process is killed meanwhile, no step's folder may lack files.
        if self.path(step).exists():
            old = self.folder / f"{step}.removed{UNFINISHED}"
            rename(self.path(step), old)
            shutil.rmtree(old)


def _best(scores: Mapping[int, float | None]) -> int | None:
    """The step with the highest score, the newest of equal ones; None if no step has a score."""
    scored = [(score, step) for step, score in scores.items() if score is not None]
    return max(scored)[1] if scored else None
