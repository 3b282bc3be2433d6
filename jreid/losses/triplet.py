"""Triplet losses of papers, each a use of `mined_triplet`."""

import math
from collections.abc import Callable, Iterable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jreid.errors import InputError
from jreid.find import find_symbol, is_outside
from jreid.losses._checks import REDUCTIONS, Margin, checked, choose, require
from jreid.losses.mining import mined_triplet

NEGATIVES = ("other", "generated")
SET_TRIPLETS = ("batch_hard", "weighted_regularized")

Features = Float[Array, "n d"]
Identity = Integer[Array, " n"]


@checked
def batch_hard_triplet(
    features: Features, identity: Identity, margin: Margin = 0.3
) -> Float[Array, ""]:
    """Mean over anchors of max(0, hardest positive - hardest negative + margin).

    Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017, equation 5. Positives include
    the anchor, which is the hardest only if it has no other positive.

    Args:
        features: not normalized; the rows of all modalities are candidates.
        identity: class numbers; with a single one there is no negative and the loss is 0.
        margin: in units of the features' Euclidean distance.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> line = jnp.array([[0.0], [1.0], [3.0], [7.0]])
    >>> float(batch_hard_triplet(line, jnp.array([0, 0, 1, 1]), margin=0.5).round(4))
    0.625
    """
    return mined_triplet(features, identity, margin=margin)


@checked
def weighted_triplet(
    features: Features, identity: Identity, released: bool = False
) -> Float[Array, ""]:
    """AGW's weighted regularized triplet loss.

    Mean over anchors of softplus(weighted positive distance - weighted negative distance). The
    weights are a softmax of the distances over the positives, and of the negated distances over the
    negatives (Ye et al., TPAMI 2021, equations 5 and 6). The anchor counts as one of its own
    positives, as in the released code.

    The released code adds 1e-6 to the sum of the negatives' unshifted exponentials. With 56
    negatives their weights sum to 0.99 at a distance of 13, to 0.5 at 17.8, to 0.1 at 20; farther
    away they fall so fast that negatives attract the anchor. The published numbers of AGW come from
    that code, not from the formula.

    Args:
        features: not normalized.
        identity: class numbers.
        released: compute the weights as the released code does.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> far_apart = jnp.array([[0.0], [0.0], [100.0], [100.0]])
    >>> float(weighted_triplet(far_apart, jnp.array([0, 0, 1, 1])).round(4))
    0.0
    """
    mining = "weighted_released" if released else "weighted"
    return mined_triplet(features, identity, margin=None, mining=mining)


# The values of `config.triplet.kind`, which may also be the dotted name of such a function.
TRIPLETS: Mapping[str, Callable[[Array, Array, float], Array]] = {
    "batch_hard": batch_hard_triplet,
    "weighted_regularized": lambda features, identity, margin: weighted_triplet(features, identity),
    "weighted_regularized_released": lambda features, identity, margin: weighted_triplet(
        features, identity, released=True
    ),
}


def collapsed_triplet(kind: str, margin: float) -> float | None:
    """The value of the triplet loss of this `config.triplet.kind` where all features are equal.

    None if `kind` is the dotted name of another function.
    """
    if is_outside(kind):
        return None
    return math.log(2) if kind.startswith("weighted_regularized") else margin


def find_triplet(kind: str) -> Callable[[Array, Array, float], Array]:
    """The loss that `config.triplet.kind` names: from features, identities and margin to a number.

    Raises:
        InputError: there is no loss of this name.
    """
    return find_symbol("config.triplet.kind", kind, TRIPLETS)


def triplet(kind: str, features: Features, identity: Identity, margin: float) -> Float[Array, ""]:
    """The triplet loss that `config.triplet.kind` names.

    Raises:
        InputError: there is no loss of this name, or it does not return a number.
    """
    value = find_triplet(kind)(features, identity, margin)
    if jnp.shape(value) != ():
        raise InputError(
            f"config.triplet.kind={kind} returns an array of shape {jnp.shape(value)}, not one "
            "number; average it over the anchors."
        )
    return value


@checked
def cross_modality_triplet(
    anchors: Features,
    candidates: Float[Array, "m d"],
    anchor_identity: Identity,
    candidate_identity: Integer[Array, " m"],
    margin: Margin = 0.5,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Over anchors of one modality: max(0, hardest positive - hardest negative + margin).

    Positives and negatives are all of another modality. Liu et al., Base-Derivative Framework (ICPR
    2020), equations 3 to 5, with equation 5 corrected: as printed, its product with a mask leaves
    zeros at the positives, so that the nearest "negative" would always be at distance 0.

    Args:
        anchors: not normalized.
        candidates: not normalized. An anchor without a positive or a negative among them costs 0.
        anchor_identity: class numbers.
        candidate_identity: class numbers.
        margin: in units of the features' Euclidean distance.
        reduce: `sum` over anchors, as equation 4 has it, or their `mean`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown `reduce`.

    >>> visible, infrared = jnp.array([[0.0], [1.0]]), jnp.array([[0.5], [3.0]])
    >>> identity = jnp.array([0, 1])
    >>> float(cross_modality_triplet(visible, infrared, identity, identity, 0.5, "sum").round(4))
    2.0
    """
    return mined_triplet(
        anchors,
        anchor_identity,
        candidates,
        candidate_identity=candidate_identity,
        margin=margin,
        reduce=reduce,
    )


@checked
def multi_directional_triplet(
    features: Mapping[str, Float[Array, "_ d"]],
    identity: Mapping[str, Integer[Array, " _"]],
    pairs: Iterable[tuple[str, str]],
    margin: Margin = 0.5,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Sum over pairs of modalities of `cross_modality_triplet` from each to the other.

    Liu et al., Base-Derivative Framework (ICPR 2020), equation 2.

    Args:
        features: by modality, not normalized.
        identity: by modality, of the rows of its features.
        pairs: of different modalities; their order within a pair means nothing.
        margin: as `cross_modality_triplet`.
        reduce: as `cross_modality_triplet`, of each direction.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown `reduce`.

    >>> features = {"visible": jnp.array([[0.0], [1.0]]), "infrared": jnp.array([[0.5], [3.0]])}
    >>> identity = {"visible": jnp.array([0, 1]), "infrared": jnp.array([0, 1])}
    >>> pairs = [("visible", "infrared")]
    >>> float(multi_directional_triplet(features, identity, pairs, 0.5, "sum").round(4))
    2.5
    """
    directions = [direction for a, b in pairs for direction in ((a, b), (b, a))]
    terms = [
        cross_modality_triplet(features[a], features[b], identity[a], identity[b], margin, reduce)
        for a, b in directions
    ]
    return sum(terms, start=jnp.zeros(()))


@checked
def multi_mode_triplet(
    features: Mapping[str, Float[Array, "_ d"]],
    identity: Mapping[str, Integer[Array, " _"]],
    margin: Margin = 0.3,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """Sum over modalities of the batch-hard triplet loss within each.

    Liu et al., Base-Derivative Framework (ICPR 2020), equations 6 and 7; the arguments are those of
    `multi_directional_triplet`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown `reduce`.

    >>> features = {"visible": jnp.array([[0.0], [1.0], [3.0], [7.0]])}
    >>> identity = {"visible": jnp.array([0, 0, 1, 1])}
    >>> float(multi_mode_triplet(features, identity, 0.5).round(4))
    0.625
    """
    choose(REDUCTIONS, reduce, "reduction")
    terms = [
        mined_triplet(values, identity[name], margin=margin, reduce=reduce)
        for name, values in features.items()
    ]
    return sum(terms, start=jnp.zeros(()))


@checked
def set_triplet(
    anchors: Features,
    positives: Features,
    negatives: Features,
    identity: Identity,
    distance: str = "cosine",
    margin: Margin = 1.0,
    kind: str = "batch_hard",
) -> Float[Array, ""]:
    """Mean over anchors of max(0, hardest positive - hardest negative + margin), of three sets.

    PFANet (2022), L_tri(anchor, positive, negative) of equations 14 and 15. The paper gives neither
    distance nor margin; the defaults are those of AlignGAN's code.

    Args:
        anchors: not normalized, like the others.
        positives: the set that positives are taken from.
        negatives: the set that negatives are taken from.
        identity: class numbers of the rows, the same for all three sets. With a single identity
            there is no negative and the loss is 0.
        distance: `cosine` or `euclidean`.
        margin: in units of the distance; not used by `weighted_regularized`.
        kind: `batch_hard`, or `weighted_regularized`, which is not the paper's: the mean over
            anchors of AGW's softplus, as in `weighted_triplet`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown option.

    >>> anchors, candidates = jnp.array([[0.0], [4.0]]), jnp.array([[1.0], [6.0]])
    >>> identity = jnp.array([0, 1])
    >>> float(set_triplet(anchors, candidates, candidates, identity, "euclidean", 3.0).round(4))
    1.0
    """
    require(kind, SET_TRIPLETS, "kind")
    weighted = kind == "weighted_regularized"
    return mined_triplet(
        anchors,
        identity,
        positives,
        negatives,
        margin=None if weighted else margin,
        distance=distance,
        mining="weighted" if weighted else "hardest",
    )


@checked
def generated_triplets(
    generated: Features,
    real: Features,
    identity: Identity,
    distance: str = "cosine",
    margin: Margin = 1.0,
    negatives: str = "other",
    kind: str = "batch_hard",
) -> Float[Array, ""]:
    """Sum of `set_triplet` from generated to real images and back.

    PFANet (2022), equation 15; equation 14 is half of it. The arguments are those of `set_triplet`.

    Args:
        negatives: `other`: both terms take negatives from the set that the anchor is not in, as in
            AlignGAN's code; `generated`: as the paper prints it, the first term takes its negatives
            from the anchors' own set, which is probably a mistake.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown option.

    >>> generated, real = jnp.array([[0.0], [4.0]]), jnp.array([[1.0], [6.0]])
    >>> float(generated_triplets(generated, real, jnp.array([0, 1]), "euclidean", 3.0).round(4))
    1.5
    """
    require(negatives, NEGATIVES, "negatives")
    first = real if negatives == "other" else generated
    options = identity, distance, margin, kind
    there = set_triplet(generated, real, first, *options)
    return there + set_triplet(real, generated, generated, *options)
