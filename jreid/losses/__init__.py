"""Losses as pure functions of arrays, one family a file, usable without the rest of jreid."""

from jreid.losses.adversarial import cycle_loss, discriminator_loss, real_or_fake
from jreid.losses.affinity import graph_alignment, log_affinity
from jreid.losses.center_cluster import center_cluster
from jreid.losses.divergence import kl_divergence
from jreid.losses.hetero_center import hetero_center_triplet
from jreid.losses.identity import cross_entropy
from jreid.losses.modality_triplet import (
    cross_modality_triplet,
    multi_directional_triplet,
    multi_mode_triplet,
)
from jreid.losses.mutual_prediction import (
    kl_detach,
    kl_ema,
    specific_ce,
    swap_ce,
    swap_ce_joint,
)
from jreid.losses.purification import (
    discrepancy_margin,
    entropy,
    entropy_margin,
    modality_centroid_distance,
)
from jreid.losses.semantic import semantic_alignment
from jreid.losses.set_triplet import generated_triplets, set_triplet
from jreid.losses.triplet import batch_hard_triplet, euclidean_distances, weighted_triplet

__all__ = [
    "batch_hard_triplet",
    "center_cluster",
    "cross_entropy",
    "cross_modality_triplet",
    "cycle_loss",
    "discrepancy_margin",
    "discriminator_loss",
    "entropy",
    "entropy_margin",
    "euclidean_distances",
    "generated_triplets",
    "graph_alignment",
    "hetero_center_triplet",
    "kl_detach",
    "kl_divergence",
    "kl_ema",
    "log_affinity",
    "modality_centroid_distance",
    "multi_directional_triplet",
    "multi_mode_triplet",
    "real_or_fake",
    "semantic_alignment",
    "set_triplet",
    "specific_ce",
    "swap_ce",
    "swap_ce_joint",
    "weighted_triplet",
]
