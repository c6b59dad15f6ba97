"""This project's run without one of its tricks: what each of them buys alone. docs/speed.md has the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from benchmarks import this_project
from benchmarks.pace import Pace


def run(overrides: list[str], pace: Pace, folder: Path, trick: str) -> None:
    """Train with this project after one of its tricks was taken away. trick: a key of TRICKS."""
    TRICKS[trick]()
    this_project.run(overrides, pace, folder)


def one_batch_at_a_time() -> None:
    """Each batch is given to Lightning's loop alone."""
    from trainlab.runtime import plan

    plan.choose_steps_per_execution = lambda *measures: 1


def no_shortcut() -> None:
    """torch looks at each attribute that Lightning sets on the module."""
    from trainlab.classifier import Classifier

    del Classifier.__setattr__


def lightnings_profiler() -> None:
    """Lightning's own idle profiler."""
    from lightning.pytorch.profilers import PassThroughProfiler

    from trainlab.runtime import plan

    plan.NoProfiler = PassThroughProfiler  # type: ignore[misc, assignment]


def each_batch_counted() -> None:
    """Errors are counted after each step, not some at a time."""
    from trainlab import metrics

    metrics.MAX_PENDING = 0


def plain_crop() -> None:
    """crop_flip: the whole batch becomes float and gets its border, then each crop is copied."""
    from trainlab.augment import CropFlip, crop, uniform

    def train(self: Any, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        draws = uniform(ids, 3, seed=seed, epoch=epoch)
        top, left = ((draws[:2] * (2 * self.padding + 1)).long()).unbind()
        padded = F.pad(self.normalize(self.resize(images)), [self.padding] * 4)
        return crop(padded, top, left, draws[2] < 0.5, self.size)

    CropFlip.train = train  # type: ignore[method-assign]


def default_allocator() -> None:
    """glibc gives large blocks back to the kernel."""
    this_project.keep_freed_memory = lambda: None


TRICKS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        one_batch_at_a_time,
        no_shortcut,
        lightnings_profiler,
        each_batch_counted,
        plain_crop,
        default_allocator,
    )
}
