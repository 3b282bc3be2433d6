"""Losses as pure functions of arrays, one family a file, usable without the rest of jreid."""

from jreid.losses.center_cluster import center_cluster
from jreid.losses.identity import cross_entropy
from jreid.losses.modality_triplet import (
    cross_modality_triplet,
    multi_directional_triplet,
    multi_mode_triplet,
)
from jreid.losses.triplet import batch_hard_triplet, euclidean_distances, weighted_triplet

__all__ = [
    "batch_hard_triplet",
    "center_cluster",
    "cross_entropy",
    "cross_modality_triplet",
    "euclidean_distances",
    "multi_directional_triplet",
    "multi_mode_triplet",
    "weighted_triplet",
]
