"""One paper a file or folder, each a `Method`: pure functions over explicit state."""

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
