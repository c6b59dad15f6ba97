"""What a device can do at most: the rate of a large matrix product, beside which a network's is put."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from benchmarks.job import job
from benchmarks.measure import Measure
from benchmarks.race import Timed
from benchmarks.works import LIMIT
from trainlab.models.layers import layers

SIDES = {"cpu": 2048, "cuda": 8192}  # of square matrices: large enough for the full rate, small enough for a second
SECONDS = 1.0
TRAINING = 6  # operations for each multiplication of a forward pass: times and plus, forward and twice backward
IMAGENET_IMAGES, EPOCHS = 1_281_167, 90  # Krizhevsky et al. 2012, §5


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second (a multiplication and an addition are two) of the fastest product in about a second."""
    side = SIDES[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
    best, until = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def against_the_device(overrides: Sequence[str], timed: Sequence[Timed]) -> list[Measure]:
    """What part of the device the limit uses, and how long the paper's training would take at this project's rate."""
    this = job(list(overrides))
    connections = sum(layer.connections for layer in layers(this.net, this.data.input_shape))
    dtype = torch.bfloat16 if this.hardware.precision == "bf16-mixed" else torch.float32
    rate = matrix_rate(this.device, dtype)
    limit = next(side for side in timed if side.side == LIMIT)
    shares = [100 * images * connections * TRAINING / rate for images in limit.rates]
    days = [EPOCHS * IMAGENET_IMAGES / images / 86_400 for images in timed[0].rates]
    kind = str(dtype).removeprefix("torch.")
    remark = f"{rate / 1e12:,.2f} TFLOP/s, {kind}; {connections * TRAINING / 1e9:.2f} GFLOP an image"
    return [
        Measure("AlexNet's limit, of the rate of a large matrix product", shares, "%", remark=remark),
        Measure(f"{EPOCHS} epochs of {IMAGENET_IMAGES:,} images, at trainlab's rate", days, "days"),
    ]
