"""Means over seeds, and the interval of their difference."""

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95


def mean_and_deviation(values: Sequence[float]) -> str:
    """Both with two digits; empty without values. A single value has no deviation.

    This deviation divides by one less than the number of values; `std` in results divides by their
    number.
    """
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def difference(ours: Sequence[float], base: Sequence[float]) -> str:
    """`+3.10 [-1.20, +7.40]`: the difference of the means, and its interval by Welch's t.

    The interval is over seeds; with one seed on a side there is none.
    """
    shift = statistics.mean(ours) - statistics.mean(base)
    if min(len(ours), len(base)) < 2:
        return f"{shift:+.2f}"
    half = welch_half_width(ours, base)
    return f"{shift:+.2f} [{shift - half:+.2f}, {shift + half:+.2f}]"


def welch_half_width(a: Sequence[float], b: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the difference of two means."""
    from scipy.special import stdtrit

    parts = [statistics.variance(values) / len(values) for values in (a, b)]
    if not sum(parts):
        return 0.0
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (a, b), strict=True)
    )
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(parts))
