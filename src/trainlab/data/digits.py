"""Handwritten digits, 8x8, inside scikit-learn: needs no network and no file."""

from __future__ import annotations

import numpy as np
import torch

from trainlab.data.image_set import ImageSet, Splits, split


def load(*, test_fraction: float = 0.2, val_fraction: float = 0.1, split_seed: int = 0) -> Splits:
    """1,797 images, uint8 (N, 1, 8, 8), in the classes "0" to "9".

    Source: `sklearn.datasets.load_digits`, the test part of the UCI set "Optical Recognition of Handwritten
    Digits". Its values 0..16 are stretched to 0..255. Raises InputError for fractions that cannot be cut.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    whole = ImageSet(
        torch.from_numpy(pixels).unsqueeze(1),
        torch.from_numpy(digits.target.astype(np.int64)),
        tuple(str(name) for name in digits.target_names),
    )
    return split(whole, test_fraction=test_fraction, val_fraction=val_fraction, split_seed=split_seed)
