"""Charts of a training: its losses, accuracies and validation scores, from `metrics.jsonl`."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jreid.report.charts import Chart, Line, line_chart

VALIDATION = "validation/"
UNSHOWN = ("step", "epoch", "images_per_second")
MOST_LINES = 6  # in a chart
LOG_RATIO = 10  # of the largest value to the smallest, from which on an axis is logarithmic


class Kind(NamedTuple):
    """A kind of metric, which has its own charts.

    Attributes:
        title: of a chart.
        y_label: of its axis.
        factor: of the values: 100 for percent.
        matches: whether a metric of this name is of this kind, if of none before it.
    """

    title: str
    y_label: str
    factor: int
    matches: Callable[[str], bool]


KINDS = (
    Kind("Validation", "score (%)", 100, lambda name: name.startswith(VALIDATION)),
    Kind("Loss", "loss", 1, lambda name: name.endswith("/loss")),
    Kind("Accuracy", "accuracy (%)", 100, lambda name: name.endswith("accuracy")),
    Kind("Gradient norm", "norm", 1, lambda name: name.endswith("/gradient_norm")),
    Kind("Terms of the loss and more", "value", 1, lambda name: True),
)


def read_metrics(file: Path) -> dict[str, Line]:
    """Steps and values of each metric; empty without a file. Other lines than JSON are skipped."""
    found: dict[str, dict[int, float]] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            content = json.loads(line)
            step = int(content["step"])
            values = {name: float(content[name]) for name in content if name not in UNSHOWN}
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue
        for name, value in values.items():
            if math.isfinite(value):
                found.setdefault(name, {})[step] = value
    return {name: ([*sorted(at)], [at[step] for step in sorted(at)]) for name, at in found.items()}


def training_charts(metrics: Mapping[str, Line]) -> list[Chart]:
    """A chart of each kind of metric that there is."""
    of_kind: dict[Kind, dict[str, Line]] = {kind: {} for kind in KINDS}
    for name, (x, y) in metrics.items():
        kind = next(kind for kind in KINDS if kind.matches(name))
        shown = name.removeprefix(VALIDATION).replace("rank1", "rank-1")
        of_kind[kind][shown] = x, [kind.factor * value for value in y]
    return [chart for kind, lines in of_kind.items() for chart in _charts(kind, lines)]


def _charts(kind: Kind, lines: Mapping[str, Line]) -> Iterator[Chart]:
    """The lines of a kind, some in each chart."""
    names = [*lines]
    for start in range(0, len(names), MOST_LINES):
        some = {name: lines[name] for name in names[start : start + MOST_LINES]}
        part = f" ({start // MOST_LINES + 1})" if len(names) > MOST_LINES else ""
        values = [value for _, y in some.values() for value in y]
        log = kind.factor == 1 and 0 < LOG_RATIO * min(values) < max(values)
        digits = 3 if kind.factor == 1 else 2
        title = f"{kind.title}{part}"
        yield line_chart(title, "step", kind.y_label, some, log=log, digits=digits)
