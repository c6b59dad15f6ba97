"""Whether two means differ: Welch's interval, and what can be said where a deviation is not known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit  # the quantile of Student's t, without the second that scipy.stats takes to import

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sample:
    """A mean over n runs and their sample standard deviation, None where there is none: of one run."""

    mean: float
    deviation: float | None
    n: int


def interval(one: Sample, other: Sample, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of other's mean minus one's.

    Both with a deviation: Welch's, with Satterthwaite's degrees of freedom (B. L. Welch, Biometrika 34, 1947); a point
    where both deviations are zero. Only one of them: that in which one more run of the same kind would lie,
    ± t(n − 1) · s · √(1 + 1/n). Neither: a point, for one run has no interval.
    """
    difference = other.mean - one.mean
    if one.deviation is not None and other.deviation is not None:
        a, b = one.deviation**2 / one.n, other.deviation**2 / other.n
        if a + b == 0:
            return difference, difference
        freedom = (a + b) ** 2 / (a**2 / (one.n - 1) + b**2 / (other.n - 1))
        half = stdtrit(freedom, (1 + confidence) / 2) * math.sqrt(a + b)
    else:
        known = one if one.deviation is not None else other
        if known.deviation is None or known.n < 2:
            return difference, difference
        half = stdtrit(known.n - 1, (1 + confidence) / 2) * known.deviation * math.sqrt(1 + 1 / known.n)
    return difference - half, difference + half
