"""Losses as pure functions of arrays, one file for each family, usable without the rest of jreid.

Features and logits may have any float type and are computed in float32; the loss is a float32
scalar. Every function checks the shapes and types of its arrays, inside and outside of jit, and
raises ValueError if they do not fit its annotations.
"""

from jreid.losses.adversarial import cycle_loss, discriminator_loss, real_or_fake
from jreid.losses.alignment import (
    graph_alignment,
    kl_divergence,
    log_affinity,
    semantic_alignment,
)
from jreid.losses.centers import center_cluster, hetero_center_triplet
from jreid.losses.classification import cross_entropy
from jreid.losses.mining import mined_triplet
from jreid.losses.mutual_prediction import (
    kl_detach,
    kl_ema,
    specific_ce,
    swap_ce,
    swap_ce_joint,
)
from jreid.losses.pairwise import cosine_distances, euclidean_distances
from jreid.losses.purification import (
    discrepancy_margin,
    entropy,
    entropy_margin,
    modality_centroid_distance,
)
from jreid.losses.triplet import (
    batch_hard_triplet,
    cross_modality_triplet,
    generated_triplets,
    multi_directional_triplet,
    multi_mode_triplet,
    set_triplet,
    weighted_triplet,
)

__all__ = [
    "batch_hard_triplet",
    "center_cluster",
    "cosine_distances",
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
    "mined_triplet",
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
