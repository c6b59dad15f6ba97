"""ELPV: 2,624 grey 300x300 electroluminescence photographs of solar cells, whole or with defects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainlab.data.image_set import DataSplits, ImageSet, split
from trainlab.data.packed.pictures import read_pictures
from trainlab.errors import InputError


def load(
    *,
    classes: int = 2,
    size: int = 256,
    test_fraction: float = 0.25,
    val_fraction: float = 0.1,
    split_seed: int = 0,
) -> DataSplits:
    """2,624 images scaled with antialiasing to `size`, uint8 (N, 1, size, size).

    `classes` 4: the experts' defect probabilities 0, 1/3, 2/3 and 1. `classes` 2: functional below one half,
    defective from there. The split is ours, stratified by class: the publication's (1,968 for training, 656
    for test, the same sizes as here) was not released, and cells of one module are on both sides of either.
    Source: the package elpv-dataset; Deitsch et al., Solar Energy 185, 2019, https://arxiv.org/abs/1807.02894.
    Raises InputError where the package is missing or `classes` is neither 2 nor 4.
    """
    if classes not in (2, 4):
        raise InputError(
            f"data.classes={classes} is not one of 2 (functional, defective) and 4 (probabilities).",
            option="data.classes",
            value=classes,
        )
    try:
        import elpv_dataset
    except ImportError as error:
        raise InputError("data=elpv needs the package elpv-dataset: pip install -e '.[elpv]'.") from error

    # Not the package's own loader: that holds all images at full size, 236 MB, before any is scaled.
    folder = Path(elpv_dataset.__file__).parent / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines() if line.strip()]
    probabilities = np.array([float(row[1]) for row in rows])
    if classes == 2:
        names: tuple[str, ...] = ("functional", "defective")
        labels = probabilities >= 0.5
    else:
        names = ("0", "1/3", "2/3", "1")
        labels = np.round(probabilities * 3)
    paths = [folder / row[0] for row in rows]
    images, _ = read_pictures(paths, size=size, channels=1, on_bad_image="error")
    whole = ImageSet(images, torch.from_numpy(labels.astype(np.int64)), names)
    return split(whole, test_fraction=test_fraction, val_fraction=val_fraction, split_seed=split_seed)
