"""The accuracy of a run on its training images in the last epoch, from its metrics."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path


def training_accuracy(metrics: Path) -> float | None:
    """The share of training images that are classified right in the last epoch, in percent.

    Args:
        metrics: a run's `metrics.jsonl`; each line has the means over the steps since the last one.

    Returns:
        The mean over the steps of the last epoch; None if the file is missing or has no accuracy.
    """
    if not metrics.is_file():
        return None
    lines = [line for line in _read(metrics) if "epoch" in line]
    weighted = total = before = 0
    for line in lines:
        steps, before = line["step"] - before, line["step"]
        values = [value for name, value in line.items() if name.endswith("/accuracy")]
        if line["epoch"] == lines[-1]["epoch"] and values:
            weighted, total = weighted + steps * values[0], total + steps
    return 100 * weighted / total if total else None


def _read(metrics: Path) -> Iterator[dict[str, float]]:
    """The lines that can be read: the last one may be torn."""
    for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)
