"""Packed pictures → batches, on one core with nothing beside it: raw ones cropped and reflected, JPEGs decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainlab.augment import AlexNetAugmentation, crop
from trainlab.benchmark.measure import Measure, in_turn, quotients
from trainlab.data.packed import PackedImages, read_packed

FFCV = 1800  # images/s per hardware thread, 256-pixel raw images with crop and reflection (FFCV's own figures)
BATCH, BATCHES = 128, 8
SIZE, CROP = 256, 224


def loading(raw: Path, jpeg: Path, rounds: int, tell: Callable[[str], None]) -> list[Measure]:
    """raw, jpeg: two packed sets of the same pictures, 256×256."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_raw(PackedImages(read_packed(raw), "train"), rounds, tell), *_jpeg(jpeg, rounds, tell)]
    finally:
        torch.set_num_threads(threads)


def _batches(images: PackedImages) -> list[torch.Tensor]:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return list(order.split(BATCH)[:BATCHES])


def _raw(images: PackedImages, rounds: int, tell: Callable[[str], None]) -> list[Measure]:
    room, draws = SIZE - CROP, torch.Generator().manual_seed(0)
    batches = _batches(images)
    places = [torch.randint(room + 1, (2, len(ids)), generator=draws) for ids in batches]
    mirrored = [torch.rand(len(ids), generator=draws) < 0.5 for ids in batches]

    def cut() -> None:
        for ids, (top, left), mirror in zip(batches, places, mirrored, strict=True):
            crop(images[ids], top, left, mirror, CROP)

    rates = [sum(map(len, batches)) / seconds for seconds in in_turn([cut], rounds)[0]]
    tell("packed pictures")
    return [
        Measure("raw 256-pixel set → cropped, reflected 224-pixel uint8 batches, one core", rates, "img/s"),
        Measure("  against FFCV's published 1,800 img/s", [rate / FFCV for rate in rates], "×", ("≥", 2.0)),
    ]


def _jpeg(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Measure]:
    packed = read_packed(folder)
    images = PackedImages(packed, "train", workers=1)
    augment = AlexNetAugmentation(stored=packed.size)
    augment.mean, augment.covariance = packed.colours.mean, packed.colours.covariance
    batches = _batches(images)[:2]
    ends = np.fromfile(folder / "train.ends", dtype=np.int64)
    bytes_ = (folder / "train.images").read_bytes()
    files = [bytes_[ends[i - 1] if i else 0 : ends[i]] for ids in batches for i in ids.tolist()]

    def decoder_alone() -> None:
        for file in files:
            with Image.open(io.BytesIO(file)) as image:
                image.load()

    def augmented() -> None:
        for ids in batches:
            augment.train(images[ids], ids, torch.zeros_like(ids), seed=0, epoch=0)

    count = sum(map(len, batches))
    alone, whole = ([count / s for s in seconds] for seconds in in_turn([decoder_alone, augmented], rounds))
    tell("JPEGs")
    return [
        Measure("JPEG-packed set → augmented float batches, one core", whole, "img/s"),
        Measure("  Pillow's decoder alone", alone, "img/s"),
        Measure("  against the decoder alone", quotients(whole, alone), "×", ("≥", 0.9)),
    ]
