"""One file or folder for each paper. Each is a `Method`: pure functions over explicit state."""

from jreid.methods.method import (
    Batch,
    Config,
    Method,
    Metrics,
    MetricWarning,
    Phase,
    Player,
    Terms,
    Variables,
    images_of,
    load,
    single_network,
)

__all__ = [
    "Batch",
    "Config",
    "Method",
    "MetricWarning",
    "Metrics",
    "Phase",
    "Player",
    "Terms",
    "Variables",
    "images_of",
    "load",
    "single_network",
]
