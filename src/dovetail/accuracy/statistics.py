"""Means of several seeds with their confidence intervals, and paired comparisons between two sets of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from dovetail.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A mean and the t-interval around it.

    Attributes:
        mean: of the values.
        low: lower end; None when one value alone says nothing of the spread.
        high: upper end; None likewise.
        count: how many values.
        confidence: that such an interval covers the true mean, if values are about normal.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    confidence: float

    @property
    def half_width(self) -> float | None:
        """What stands behind the plus-minus sign."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean with its t-interval, ``mean +- t * s / sqrt(n)``, ``s`` with ``n - 1`` degrees of freedom.

    Raises:
        InputError: when there are no values, or the confidence is not between 0 and 1.
    """
    if not values:
        raise InputError("no values to average")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        student_quantile(confidence, 1)  # checks the confidence
        return Interval(mean, None, None, 1, confidence)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = student_quantile(confidence, len(values) - 1) * math.sqrt(variance / len(values))
    return Interval(mean, mean - half, mean + half, len(values), confidence)


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], confidence: float = 0.95) -> Interval:
    """Return the mean of ``second - first`` over seeds, with its t-interval.

    What the two sides share under one seed (order of images, initial weights) cancels, so the interval is narrower
    than that of two separate means. It excludes 0 when the difference is significant at ``1 - confidence``; ``second``
    is "not worse by more than a margin" when ``low > -margin``.

    Args:
        first: value by seed.
        second: value by seed, of the same seeds.
        confidence: of the interval.

    Raises:
        InputError: when the seeds differ.
    """
    if set(first) != set(second):
        raise InputError(f"paired seeds must be the same on both sides: {sorted(first)} and {sorted(second)}")
    return interval([second[seed] - first[seed] for seed in sorted(first)], confidence)


def student_quantile(confidence: float, freedom: int) -> float:
    """Return ``t`` such that a Student variable of that many degrees of freedom is within ``+-t`` so often.

    The two-sided probability has a closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and
    26.7.4), inverted here by bisection.

    Raises:
        InputError: when the confidence is not between 0 and 1, or there is no freedom.
    """
    if not 0.0 < confidence < 1.0 or freedom < 1:
        raise InputError(
            f"confidence {confidence} must be between 0 and 1, and degrees of freedom {freedom} at least 1"
        )
    low, high = 0.0, math.pi / 2  # of the angle atan(t / sqrt(freedom)): bounded, so bisection needs no bracket
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def student_tail(t: float, freedom: int) -> float:
    """Return how likely a Student variable of that many degrees of freedom is as far from 0 as ``t``, two-sided.

    Raises:
        InputError: when there is no freedom.
    """
    if freedom < 1:
        raise InputError(f"degrees of freedom {freedom} must be at least 1")
    return 1.0 - _within(math.atan(abs(t) / math.sqrt(freedom)), freedom)


def _within(angle: float, freedom: int) -> float:
    """Return the probability that ``|t| < sqrt(freedom) * tan(angle)``."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    if freedom == 1:
        total = 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: S. Holm, Scandinavian Journal of Statistics 6 (1979)."""
    corrected, most = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, (len(values) - rank) * values[at]))
        corrected[at] = most
    return corrected


def proportion_interval(hits: int, count: int, confidence: float = 0.95) -> Interval:
    """Return a share with Wilson's score interval: what it says of images drawn like these, for one set of weights.

    Args:
        hits: images that were right.
        count: images in all.
        confidence: of the interval.

    Raises:
        InputError: when there are no images, or the confidence is not between 0 and 1.
    """
    if not 0.0 < confidence < 1.0 or count < 1 or not 0 <= hits <= count:
        raise InputError(f"confidence {confidence} must be between 0 and 1, and hits {hits} between 0 and {count}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = hits / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), count, confidence)
