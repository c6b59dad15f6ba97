"""Indices cut in two with the same share of every class: scikit-learn's cut, without the second that its import takes.

The same draws in the same order as `train_test_split(…, stratify=labels)`, so the same indices for a seed; a test
compares them.
"""

from __future__ import annotations

import math

import numpy as np


def stratified(labels: np.ndarray, part: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples in two so that every class gives the same share: indices (kept, away), int64 and shuffled.

    labels: integers (N,). part: how many go away, a fraction or a number. Raises ValueError where a class has one
    example, or a side would have fewer examples than there are classes.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    away_size = part if isinstance(part, int) else math.ceil(part * len(labels))
    kept_size = len(labels) - away_size
    if min(counts, default=0) < 2 or min(kept_size, away_size) < len(counts):
        raise ValueError("too few examples for one of every class on both sides")
    random = np.random.RandomState(seed)
    kept_of = _share(counts, kept_size, random)
    away_of = _share(counts - kept_of, away_size, random)
    kept, away = [], []
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    for of_class, keep, leave in zip(members, kept_of, away_of, strict=True):
        drawn = of_class[random.permutation(len(of_class))]
        kept.append(drawn[:keep])
        away.append(drawn[keep : keep + leave])
    return random.permutation(np.concatenate(kept)), random.permutation(np.concatenate(away))


def _share(counts: np.ndarray, number: int, random: np.random.RandomState) -> np.ndarray:
    """int64 (K,): `number` dealt in proportion to `counts` (K,), by largest remainder, equals by chance."""
    exact = counts / counts.sum() * number
    dealt = np.floor(exact)
    remainder = exact - dealt
    missing = int(number - dealt.sum())
    for value in np.unique(remainder)[::-1]:
        if missing <= 0:
            break
        (equals,) = np.nonzero(remainder == value)
        chosen = random.choice(equals, size=min(len(equals), missing), replace=False)
        dealt[chosen] += 1
        missing -= len(chosen)
    return dealt.astype(np.int64)
