"""Images in place of data sets not at hand: as many, of the same shape. Speed does not ask what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainlab.configuration.build import OFFERED
from trainlab.data.image_set import DataSplits, ImageSet, split
from trainlab.data.sources import cifar10, fashion_mnist


def offer() -> None:
    """Let `data._target_` name these in this process."""
    OFFERED["data"] = {f"{__name__}.cifar10_like", f"{__name__}.fashion_mnist_like"}


def cifar10_like(*, root: str, val_fraction: float, split_seed: int, **_: object) -> DataSplits:
    """CIFAR-10's shape."""
    return _noise((3, 32, 32), (50_000, 10_000), cifar10.CLASSES, val_fraction, split_seed)


def fashion_mnist_like(*, val_fraction: float, split_seed: int, **_: object) -> DataSplits:
    """Fashion-MNIST's shape."""
    return _noise((1, 28, 28), (60_000, 10_000), fashion_mnist.CLASSES, val_fraction, split_seed)


def _noise(
    shape: tuple[int, int, int], counts: tuple[int, int], classes: tuple[str, ...], val_fraction: float, seed: int
) -> DataSplits:
    generator = torch.Generator().manual_seed(0)
    train, test = (
        ImageSet(
            torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator).contiguous(
                memory_format=torch.channels_last
            ),
            torch.arange(count) % len(classes),
            classes,
        )
        for count in counts
    )
    return split(train, test=test, test_fraction=0, val_fraction=val_fraction, split_seed=seed)


CLASSES = 10  # of the pictures


def write_pictures(folder: Path, count: int, size: int = 256) -> None:
    """JPEG files train/<class>/ and val/<class>/, smooth colours with some noise: about 25 kB each, as ImageNet's are
    at that size. Nothing is written where they lie already.
    """
    done = folder / f"{count}.done"
    if done.exists():
        return
    draws = np.random.default_rng(0)
    for part, number in (("train", count), ("val", 2 * CLASSES)):
        for label in range(CLASSES):
            (folder / part / f"class{label}").mkdir(parents=True, exist_ok=True)
        for index in range(number):
            coarse = Image.fromarray(draws.integers(0, 256, (24, 24, 3), dtype=np.uint8))
            picture = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).astype(np.int16)
            picture = (picture + draws.integers(-12, 13, (size, size, 1))).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / part / f"class{index % CLASSES}" / f"{index:06d}.jpg", quality=90)
    done.touch()
