"""Losses as pure functions of arrays, one family a file, usable without the rest of jreid."""

from jreid.losses.identity import cross_entropy
from jreid.losses.triplet import batch_hard_triplet, euclidean_distances, weighted_triplet

__all__ = ["batch_hard_triplet", "cross_entropy", "euclidean_distances", "weighted_triplet"]
