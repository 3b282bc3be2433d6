"""Charts of a training: its losses, accuracies and validation scores, from `metrics.jsonl`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from jreid.report.charts import Chart, Line, line_chart

VALIDATION = "validation/"
UNSHOWN = ("step", "epoch", "images_per_second")
MOST_LINES = 6  # in a chart
LOG_RATIO = 10  # of the largest value to the smallest, from which on an axis is logarithmic


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
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        for name, value in values.items():
            if math.isfinite(value):
                found.setdefault(name, {})[step] = value
    return {name: ([*sorted(at)], [at[step] for step in sorted(at)]) for name, at in found.items()}


def training_charts(metrics: Mapping[str, Line]) -> list[Chart]:
    """A chart of each kind of metric that there is."""
    kinds: dict[str, dict[str, Line]] = {
        "Validation": {}, "Loss": {}, "Accuracy": {}, "Terms of the loss and more": {},
        "Gradient norm": {},
    }  # fmt: skip
    for name, line in metrics.items():
        if name.startswith(VALIDATION):
            kind, line = "Validation", (line[0], [100 * value for value in line[1]])
        else:
            last = name.rpartition("/")[2]
            kind = {"loss": "Loss", "gradient_norm": "Gradient norm"}.get(
                last, "Accuracy" if last.endswith("accuracy") else "Terms of the loss and more"
            )
            if kind == "Accuracy":
                line = (line[0], [100 * value for value in line[1]])
        kinds[kind][name.removeprefix(VALIDATION)] = line
    charts = []
    for kind, lines in kinds.items():
        names = [*lines]
        for start in range(0, len(names), MOST_LINES):
            some = {name: lines[name] for name in names[start : start + MOST_LINES]}
            part = f" ({start // MOST_LINES + 1})" if len(names) > MOST_LINES else ""
            label = {"Validation": "%", "Accuracy": "%"}.get(kind, "value")
            values = [value for _, y in some.values() for value in y]
            log = label == "value" and 0 < LOG_RATIO * min(values) < max(values)
            digits = 2 if label == "%" else 3
            charts.append(line_chart(f"{kind}{part}", "step", label, some, log=log, digits=digits))
    return charts
