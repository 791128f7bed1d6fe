"""How far off may an accuracy be, given the size of the test set?

Reference: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
"""

import math
from statistics import NormalDist

from sslcourse import arguments


def wilson_interval(accuracy: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval (low, high) of an accuracy measured on n samples.

    It covers the choice of the test samples, not that of the training seed. Unlike the normal approximation it stays
    within [0, 1] and does not shrink to a point at accuracy 0 or 1. Raises ValueError for an accuracy outside [0, 1],
    n < 1 or a level outside (0, 1).
    """
    accuracy, level = arguments.real("accuracy", accuracy), arguments.real("level", level)
    n = arguments.whole("n", n)
    if not 0 <= accuracy <= 1:
        raise ValueError(f"An accuracy lies in [0, 1], but it is {accuracy}.")
    if n < 1:
        raise ValueError(f"An accuracy is measured on at least one sample, but n is {n}.")
    if not 0 < level < 1:
        raise ValueError(f"A confidence level lies in (0, 1), but it is {level}.")
    z = quantile(level)
    centre = accuracy + z**2 / (2 * n)
    half = z * math.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return within_ends(low, accuracy, high)


def quantile(level: float) -> float:
    """How many standard deviations hold this share, below 1, of a normal distribution; from its tail, which has digits
    where 0.5 + level / 2 is 1 already."""
    return -NormalDist().inv_cdf((1 - level) / 2)


def within_ends(low: float, share: float, high: float) -> tuple[float, float]:
    """(low, high) of an interval that is within [0, 1] and holds its share, from which rounding could be 1e-17 off."""
    return max(0.0, min(low, share)), min(1.0, max(high, share))
