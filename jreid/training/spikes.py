"""Loss spikes: warns of a loss far above the earlier ones, and records the batch's images."""

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreid.distributed.processes import is_main_process
from jreid.errors import InputError
from jreid.files import write_text
from jreid.training.observer import Observer

WINDOW, MIN_STEPS = 50, 20  # number of earlier steps to compare with, and the least number needed
DEVIATIONS = 10.0
log = logging.getLogger(__name__)


class SpikeDetector(Observer):
    """Compares each player's loss with its median over the last steps.

    A spike lies above the median by ten standard deviations, estimated from the median deviation,
    and by the median's own size. After a spike the comparison starts again, so that a diverging run
    does not give a warning at every step. It also starts again with a phase of other players, whose
    losses are of other images. The run continues, even if the disk is full.
    """

    def __init__(self, folder: Path, images_of: Callable[[int], Mapping[str, Any]]) -> None:
        """
        Args:
            folder: for a JSON file for each spike; created at the first spike.
            images_of: the names of a step's images by modality.
        """
        self._folder, self._images_of = folder, images_of
        self._losses: dict[str, deque[float]] = {}

    def on_metrics(self, number: int, metrics: Mapping[str, float]) -> None:
        """Compares the metrics named `PLAYER/loss`."""
        found = {name: value for name, value in metrics.items() if name.endswith("/loss")}
        if found.keys() != self._losses.keys():
            self._losses = {name: deque(maxlen=WINDOW) for name in found}
        for name, value in found.items():
            losses = self._losses[name]
            if len(losses) >= MIN_STEPS and value > (limit := _limit(losses)):
                self._warn(number, name, value, float(np.median(losses)), limit)
                losses.clear()
            losses.append(value)

    def _warn(self, step: int, name: str, value: float, median: float, limit: float) -> None:
        if not is_main_process():
            return
        path = self._folder / f"step_{step:08d}.json"
        record = {"step": step, "metric": name, "value": value, "median": median, "limit": limit}
        where = f"{path} names the images of that batch"
        try:
            write_text(path, json.dumps(record | dict(self._images_of(step)), indent=2) + "\n")
        except InputError as error:
            where = f"the images of that batch are not recorded: {error}"
        log.warning(
            "%s is %.4g at step %d, up from %.4g; %s.",
            name, value, step, median, where.removesuffix("."),
        )  # fmt: skip


def _limit(losses: deque[float]) -> float:
    median = np.median(losses)
    deviation = 1.4826 * np.median(np.abs(np.array(losses) - median))
    return float(median + max(DEVIATIONS * deviation, abs(median)))
