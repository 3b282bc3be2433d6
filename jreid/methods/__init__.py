"""One paper a file or folder, each a `Method`: pure functions over explicit state."""

from jreid.methods.method import (
    Batch,
    Config,
    Method,
    Metrics,
    MetricWarning,
    Phase,
    Player,
    Variables,
    load,
)

__all__ = [
    "Batch",
    "Config",
    "Method",
    "MetricWarning",
    "Metrics",
    "Phase",
    "Player",
    "Variables",
    "load",
]
