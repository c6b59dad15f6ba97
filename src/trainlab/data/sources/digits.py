"""Handwritten digits, 8x8, inside scikit-learn: needs no network and no file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from trainlab.data.image_set import DataSplits, ImageSet, split


def load(*, test_fraction: float = 0.2, val_fraction: float = 0.1, split_seed: int = 0) -> DataSplits:
    """1,797 images, uint8 (N, 1, 8, 8), in the classes "0" to "9".

    Source: `sklearn.datasets.load_digits`, the test part of the UCI set "Optical Recognition of Handwritten
    Digits". Its values 0..16 are stretched to 0..255. Raises InputError for fractions that cannot be cut.
    """
    rows = _rows()
    pixels = np.round(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    whole = ImageSet(torch.from_numpy(pixels), labels, tuple(map(str, range(10))))
    return split(whole, test_fraction=test_fraction, val_fraction=val_fraction, split_seed=split_seed)


def _rows() -> np.ndarray:
    """float64 (1797, 65): the pixels of each digit, row by row, and its class."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():  # read where it lies: importing scikit-learn for it takes longer than training on it
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
