"""AlexNet's limit beside what the device can do at most, and what that means in days."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.interleaved import Timed
from benchmarks.job import job
from benchmarks.measure import Measure
from benchmarks.workloads import LIMIT
from trainlab.models.summary import summarize, training_operations
from trainlab.runtime.hardware import matrix_rate

SECONDS = 1.0
MATRIX_SIDES = {"cpu": 2048, "gpu": 8192}  # a second is enough for a larger one on a CPU than a run takes
IMAGENET_IMAGES, EPOCHS = 1_281_167, 90  # Krizhevsky et al. 2012, §5


def against_the_device(overrides: Sequence[str], timed: Sequence[Timed]) -> list[Measure]:
    """Which share of the device's rate in a large matrix product the bare loop reaches, and how many days the paper's
    training would take at this project's rate.
    """
    this = job(list(overrides))
    operations = training_operations(summarize(this.net, this.data.input_shape))
    rate = matrix_rate(this.hardware, seconds=SECONDS, sides=MATRIX_SIDES)
    limit = next(side for side in timed if side.side == LIMIT)
    shares = [100 * images * operations / rate for images in limit.rates]
    days = [EPOCHS * IMAGENET_IMAGES / images / 86_400 for images in timed[0].rates]
    kind = this.hardware.fields["precision"]
    remark = f"{rate / 1e12:,.2f} TFLOP/s, {kind}; {operations / 1e9:.2f} GFLOP an image"
    return [
        Measure("AlexNet's limit, of the rate of a large matrix product", shares, "%", remark=remark),
        Measure(f"{EPOCHS} epochs of {IMAGENET_IMAGES:,} images, at trainlab's rate", days, "days"),
    ]
