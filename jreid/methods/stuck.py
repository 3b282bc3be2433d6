"""Warnings about a training that is stuck, for any method's `metric_warnings`.

Each warning judges whole epochs, and begins one epoch after the warm-up: until then, a healthy
training may look the same. Its remedy names the config field to change.
"""

import math

import numpy as np
from jaxtyping import Float

from jreid.losses.triplet import collapsed_triplet
from jreid.methods.method import Config, MetricWarning

STANDS = 0.05  # a loss that stays at a value differs from it by a smaller share, on average
LEARNED = 0.02  # a branch that has begun to learn has an identity loss this far below chance
DOMINATES = 0.8  # share of distillation in the gradient; a good IDKL run begins at 0.3 to 0.6
CERTAIN = 0.02  # share of its loss at chance below which a discriminator is hardly ever wrong
LONGER_WARMUP = "train anew with more config.optimizer.warmup_epochs"
SOFT = "train anew with config.{}=weighted_regularized, which has no margin"  # of a field
LOWER_RATE = "train anew with a lower config.optimizer.learning_rate"
OTHER_RATE = "train anew with another config.optimizer.learning_rate"


def judged_epochs(config: Config, start: int = 0) -> range:
    """The epochs that are judged, counted from 0.

    Args:
        config: the method's, with its number of epochs and the epochs of its warm-up.
        start: the first epoch of the phase that is judged, to the end of the run.
    """
    warm = max(start, math.ceil(config.optimizer.warmup_epochs))
    return range(warm + 1, config.epochs)


def of_trained(*warnings: tuple[object, MetricWarning]) -> tuple[MetricWarning, ...]:
    """The warnings of losses that are trained: of each pair with a weight that is not 0."""
    return tuple(warning for weight, warning in warnings if weight)


def triplet_at_margin(
    pattern: str, value: float, epochs: range, remedy: str = LONGER_WARMUP
) -> MetricWarning:
    """Warns of a triplet loss that stays at its value for features that are all equal.

    Args:
        pattern: of the metric's name.
        value: that value: the margin times the number of triplet losses in the sum.
        epochs: the epochs to judge.
        remedy: what to do.
    """
    return MetricWarning(
        pattern,
        lambda losses: _stands_at(value, losses),
        f"this triplet loss is {value:.3g} if all features are equal, so it has not separated "
        f"people, whatever the other losses have learned; {remedy}",
        epochs,
    )


def configured_triplet_at_margin(
    pattern: str, config: Config, remedy: str = ""
) -> tuple[MetricWarning, ...]:
    """`triplet_at_margin` for the loss of `config.triplet`; none if it is from outside jreid."""
    value = collapsed_triplet(config.triplet.kind, config.triplet.margin)
    if value is None:
        return ()
    remedy = remedy or (
        SOFT.format("triplet.kind") if config.triplet.kind == "batch_hard" else LONGER_WARMUP
    )
    return (triplet_at_margin(pattern, value, judged_epochs(config), remedy),)


def identity_at_chance(
    pattern: str, config: Config, epochs: range, heads: int = 1, remedy: str = OTHER_RATE
) -> MetricWarning:
    """Warns of an identity loss that is no lower than that of a guess among all identities.

    Args:
        pattern: of the metric's name.
        config: the method's, with its number of identities.
        epochs: the epochs to judge.
        heads: how many cross-entropies the metric adds up.
        remedy: what to do.
    """
    chance = heads * math.log(max(config.data.identities, 2))
    return MetricWarning(
        pattern,
        lambda losses: losses.mean() >= (1 - LEARNED) * chance,
        f"a guess among {config.data.identities} identities has a loss of {chance:.3g}, so this "
        f"branch has not learned to recognize anybody; {remedy}",
        epochs,
    )


def discriminator_at_chance(
    pattern: str, chance: float, epochs: range, remedy: str
) -> MetricWarning:
    """Warns of a discriminator whose loss is near `chance`, the loss of a guess."""
    return MetricWarning(
        pattern,
        lambda losses: _stands_at(chance, losses),
        f"a guess has a loss of {chance:.3g}, so this discriminator distinguishes nothing, and "
        f"what it trains against can learn nothing from it; {remedy}",
        epochs,
    )


def discriminator_certain(pattern: str, chance: float, epochs: range, remedy: str) -> MetricWarning:
    """Warns of a discriminator that is hardly ever wrong: its loss is far below `chance`."""
    return MetricWarning(
        pattern,
        lambda losses: losses.mean() <= CERTAIN * chance,
        f"a guess has a loss of {chance:.3g}, so this discriminator is hardly ever wrong, and what "
        f"it trains against learns little from it; {remedy}",
        epochs,
    )


def distillation_dominates(pattern: str, config: Config, remedy: str) -> MetricWarning:
    """Warns of distillation that has nearly all of the gradient in a run's first quarter.

    At least one epoch is judged. Later epochs are not: once the identities are learned, their
    losses hardly have a gradient.
    """
    epochs = judged_epochs(config)
    return MetricWarning(
        pattern,
        lambda shares: shares.mean() > DOMINATES,
        f"distillation has more than {DOMINATES:.0%} of the gradient at the features, so the "
        "network learns to agree with its teacher before either of them recognizes people; "
        f"{remedy}",
        epochs[: max(1, config.epochs // 4 - epochs.start)],
    )


def _stands_at(value: float, losses: Float[np.ndarray, " steps"]) -> bool:
    """Whether the losses are near the value, on average over the steps, and do not only pass it.

    A healthy batch-hard triplet loss passes its margin slowly, within several epochs, but from step
    to step it changes by a tenth of the margin.
    """
    return bool(np.abs(losses - value).mean() < STANDS * value)
