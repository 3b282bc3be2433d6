"""Warnings of a training that is stuck, for any method's `metric_warnings`.

Each judges whole epochs, and first after the warm-up and one epoch more: until then a healthy
training may look the same. A remedy says what to do, by a field of the config.
"""

import math

import numpy as np
from jaxtyping import Float

from jreid.losses.triplet import collapsed_triplet
from jreid.methods.method import Config, MetricWarning

STANDS = 0.05  # how far from a value, on average, a loss is that stands there
LEARNT = 0.02  # how far below chance the identity loss of a branch is that has begun to learn
CERTAIN = 0.02  # of a discriminator's loss at chance: it is hardly ever wrong
LONGER_WARMUP = "train anew with more config.optimizer.warmup_epochs"
LOWER_RATE = "train anew with a lower config.optimizer.learning_rate"
OTHER_RATE = "train anew with another config.optimizer.learning_rate"


def judged_epochs(config: Config, start: int = 0, end: int | None = None) -> range:
    """The epochs that are judged, counted from 0.

    Args:
        config: the method's, with its number of epochs and the epochs of its warm-up.
        start: the first epoch of a phase.
        end: the epoch that the phase ends before; None for the last of the run.
    """
    warm = max(start, math.ceil(config.optimizer.warmup_epochs))
    return range(warm + 1, config.epochs if end is None else end)


def triplet_at_margin(
    pattern: str, value: float, epochs: range, remedy: str = LONGER_WARMUP
) -> MetricWarning:
    """Of a triplet loss that stands where it stands for features that are all equal.

    Args:
        pattern: of the metric's name.
        value: that it has there: the margin times the number of triplet losses in the sum.
        epochs: that are judged.
        remedy: what to do.
    """
    return MetricWarning(
        pattern,
        lambda losses: _stands_at(value, losses),
        f"{value:.3g} is what this triplet loss is where all features are equal, so it has not "
        f"learnt to tell people apart; {remedy}",
        epochs,
    )


def configured_triplet_at_margin(
    pattern: str, config: Config, remedy: str = LONGER_WARMUP
) -> tuple[MetricWarning, ...]:
    """`triplet_at_margin` of the loss that `config.triplet` describes; none of an outside loss."""
    value = collapsed_triplet(config.triplet.kind, config.triplet.margin)
    if value is None:
        return ()
    return (triplet_at_margin(pattern, value, judged_epochs(config), remedy),)


def identity_at_chance(
    pattern: str, config: Config, epochs: range, heads: int = 1, remedy: str = OTHER_RATE
) -> MetricWarning:
    """Of an identity loss that is no lower than a guess among all identities makes it.

    Args:
        pattern: of the metric's name.
        config: the method's, with its number of identities.
        epochs: that are judged.
        heads: how many cross-entropies the metric is the sum of.
        remedy: what to do.
    """
    chance = heads * math.log(max(config.data.identities, 2))
    return MetricWarning(
        pattern,
        lambda losses: losses.mean() >= (1 - LEARNT) * chance,
        f"a guess among {config.data.identities} identities has {chance:.3g}, so this branch has "
        f"not learnt who anybody is; {remedy}",
        epochs,
    )


def discriminator_at_chance(
    pattern: str, chance: float, epochs: range, remedy: str
) -> MetricWarning:
    """Of a discriminator whose loss, `chance` or nearly, is that of a guess."""
    return MetricWarning(
        pattern,
        lambda losses: _stands_at(chance, losses),
        f"a guess has {chance:.3g}, so this discriminator tells nothing apart, and nothing can be "
        f"learnt from it; {remedy}",
        epochs,
    )


def discriminator_certain(pattern: str, chance: float, epochs: range, remedy: str) -> MetricWarning:
    """Of a discriminator that is hardly ever wrong: its loss is far below `chance`, a guess's."""
    return MetricWarning(
        pattern,
        lambda losses: losses.mean() <= CERTAIN * chance,
        f"a guess has {chance:.3g}, so this discriminator is hardly ever wrong, and what it trains "
        f"against learns little from it; {remedy}",
        epochs,
    )


def distillation_dominates(pattern: str, epochs: range, remedy: str) -> MetricWarning:
    """Of a share of the weighted loss that distillation has: more than half."""
    return MetricWarning(
        pattern,
        lambda shares: shares.mean() > 0.5,
        "distillation is more than half of the weighted loss, so the network learns to agree with "
        f"its teacher before either knows people; {remedy}",
        epochs,
    )


def _stands_at(value: float, losses: Float[np.ndarray, " steps"]) -> bool:
    """Whether the losses are near the value at every step, and not only on their way past it.

    A healthy batch-hard triplet loss falls through its margin slowly, within several epochs, but
    from step to step it differs by a tenth of it.
    """
    return bool(np.abs(losses - value).mean() < STANDS * value)
