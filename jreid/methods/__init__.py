"""One paper a file, each a `Method`: pure functions over explicit state."""

from jreid.methods.method import (
    Alarm,
    Batch,
    Config,
    Method,
    Metrics,
    Phase,
    Player,
    Variables,
    load,
)

__all__ = ["Alarm", "Batch", "Config", "Method", "Metrics", "Phase", "Player", "Variables", "load"]
