"""The handwritten digits as a network sees them, for the studies that train on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainlab.augment import MeasuredStatistics, NoAugmentation
from trainlab.data.sources import digits


@dataclass(frozen=True)
class Examples:
    """The handwritten digits, as networks are given them.

    inputs, test_inputs: float32 (N, 1, 8, 8), the mean of the training set subtracted. labels, test_labels: int64 (N,).
    """

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor


def digits_as_seen(**shares: Any) -> Examples:
    """The digits as aug=none gives them. shares: test_fraction and val_fraction, where they are not those of
    data=digits.
    """
    sets = digits.load(**shares)
    images = sets.train.all_images
    augmentation = NoAugmentation(images.shape[-1], statistics=MeasuredStatistics(images))
    return Examples(
        augmentation.test(images), sets.train.labels, augmentation.test(sets.test.all_images), sets.test.labels
    )
