"""Packed pictures → batches, on one core with nothing beside it: raw ones cropped and reflected, JPEGs decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image

from benchmarks.measure import Measure, in_turn, quotients
from trainlab.augment import AlexNetAugmentation, crop, uniform
from trainlab.data.packed.format import PackedImages, read_packed

FFCV = 1800  # images/s per hardware thread, 256-pixel raw images with crop and reflection (FFCV's own figures)
BATCH, BATCHES = 128, 8
SIZE, CROP = 256, 224


def loading(raw: Path, jpeg: Path, rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    """How fast pictures are read by one thread. raw, jpeg: two packed sets of the same pictures, 256×256."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_raw(PackedImages(read_packed(raw), "train"), rounds, on_progress), *_jpeg(jpeg, rounds, on_progress)]
    finally:
        torch.set_num_threads(threads)


def _batches(images: PackedImages) -> list[torch.Tensor]:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return list(order.split(BATCH)[:BATCHES])


def _places(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top, left and whether reflected, drawn for each picture."""
    draws = uniform(ids, 3, seed=0, epoch=0)
    return *(draws[:2] * (SIZE - CROP + 1)).long(), draws[2] < 0.5


def _raw(images: PackedImages, rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    batches = _batches(images)

    def cut() -> None:
        for ids in batches:
            crop(images[ids], *_places(ids), CROP)

    rates = [sum(map(len, batches)) / seconds for seconds in in_turn([cut], rounds)[0]]
    on_progress("packed pictures")
    return [
        Measure("raw 256-pixel set → cropped, reflected 224-pixel uint8 batches, one core", rates, "img/s"),
        Measure("  against FFCV's published 1,800 img/s", [rate / FFCV for rate in rates], "×", ("≥", 2.0)),
    ]


def _jpeg(folder: Path, rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    packed = read_packed(folder)
    images = PackedImages(packed, "train", workers=1)
    augment = AlexNetAugmentation(stored=packed.size, statistics=packed.statistics)
    batches = _batches(images)[:2]
    ends = np.fromfile(folder / "train.ends", dtype=np.int64)
    bytes_ = (folder / "train.images").read_bytes()
    files = [bytes_[ends[i - 1] if i else 0 : ends[i]] for ids in batches for i in ids.tolist()]
    pixels = np.empty((SIZE, SIZE, 3), np.uint8)

    def decoder_alone() -> None:
        for file in files:
            simplejpeg.decode_jpeg(file, "RGB", buffer=pixels)

    def pillow_alone() -> None:
        for file in files:
            with Image.open(io.BytesIO(file)) as image:
                image.load()

    def cut() -> None:
        for ids in batches:
            crop(images[ids], *_places(ids), CROP)

    def augmented() -> None:
        for ids in batches:
            augment.train(images[ids], ids, torch.zeros_like(ids), seed=0, epoch=0)

    count = sum(map(len, batches))
    times = in_turn([decoder_alone, pillow_alone, cut, augmented], rounds)
    alone, pillow, bytes_only, whole = ([count / s for s in seconds] for seconds in times)
    on_progress("JPEGs")
    return [
        Measure("JPEG-packed set → cropped, reflected 224-pixel uint8 batches, one core", bytes_only, "img/s"),
        Measure("  against its decoder alone, libjpeg-turbo", quotients(bytes_only, alone), "×", ("≥", 0.9)),
        Measure("  → aug=alexnet's float32 batches, colours included", whole, "img/s"),
        Measure("  against its decoder alone", quotients(whole, alone), "×"),
        Measure("  against Pillow's decoder alone", quotients(whole, pillow), "×"),
    ]
