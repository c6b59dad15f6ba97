"""One measured thing beside what it is compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One measured thing.

    what: in words. values: one for each repetition, in `unit`; that of a ratio is "×". bound: what the median is to
    reach, ("≥", 3600) or ("≤", 1.05); None where nothing is.
    """

    what: str
    values: Sequence[float]
    unit: str
    bound: tuple[str, float] | None = None
    remark: str = ""

    @property
    def median(self) -> float:
        """The median of the values, in `unit`."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the bound; None where there is none."""
        if self.bound is None:
            return None
        return self.median >= self.bound[1] if self.bound[0] == "≥" else self.median <= self.bound[1]


def in_turn(calls: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each call in each round, A B A B, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, taken in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            if number:
                taken.append(time.perf_counter() - began)
    return seconds


def quotients(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """numerators[i] / denominators[i]."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]
