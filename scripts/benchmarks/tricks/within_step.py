"""Switches off one trick of the training step, in the process that calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import this_project
from benchmarks.pace import Pace
from benchmarks.tricks.switching import by_name, swap


def run(overrides: list[str], pace: Pace, folder: Path, trick: str) -> None:
    """Train with this project after one of its tricks was taken away. trick: a key of SWITCHES."""
    SWITCHES[trick]()
    this_project.run(overrides, pace, folder)


def default_allocator() -> None:
    """glibc gives large blocks back to the kernel."""
    from trainlab.runtime.process import keep_freed_memory

    swap(keep_freed_memory, "__code__", (lambda: None).__code__)  # wherever it was imported


def one_batch_at_a_time() -> None:
    """Each batch is given to Lightning's loop alone."""
    from trainlab.runtime import plan

    swap(plan, "choose_steps_per_execution", lambda *measures: 1)


def automatic_optimization() -> None:
    """Lightning calls the optimizer and the backward pass, one batch at a time, as it must then be."""
    from trainlab.classifier import Classifier
    from trainlab.data.batches import Batch

    one_batch_at_a_time()

    def training_step(self: Any, batch: Batch, batch_index: int) -> Tensor:
        outputs = self.net(batch.inputs)
        loss = self.loss(outputs, batch.labels)
        self.metrics_of("train").queue(outputs.detach(), batch.labels, loss.detach())
        self.batches_done += 1
        return loss

    swap(Classifier, "automatic_optimization", property(lambda self: True, lambda self, value: None))
    swap(Classifier, "training_step", training_step)


def lightnings_profiler() -> None:
    """Lightning's own idle profiler."""
    from lightning.pytorch.profilers import PassThroughProfiler

    from trainlab.runtime import plan

    swap(plan, "NoProfiler", PassThroughProfiler)


def each_batch_counted() -> None:
    """Errors are counted after each step, not some at a time."""
    from trainlab import metrics

    swap(metrics, "MAX_PENDING", 0)


def plain_float() -> None:
    """The whole batch becomes float, and then the mean is subtracted from all of it, as on a GPU."""
    from trainlab import augment

    def whole_batch(images: Tensor, mean: Tensor, colours: Tensor | None, memory_format: torch.memory_format) -> Tensor:
        values = images.to(torch.float32, memory_format=memory_format, copy=True)
        seen = augment._centre_values(values, mean[:, None, None])
        return seen if colours is None else seen.add_(colours[:, :, None, None])

    swap(augment, "_to_float", whole_batch)


def torchs_response_norm() -> None:
    """torch's own local response normalisation, in float32, since it knows no bfloat16 on a CPU."""
    from trainlab.models.response_normalisation import LocalResponseNorm

    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.local_response_norm(x.float(), self.size, self.alpha, self.beta, self.k).to(x.dtype)

    swap(LocalResponseNorm, "forward", forward)


def stream_of_draws() -> None:
    """Draws come from one of torch's streams, in the order in which they are asked for."""
    from trainlab import augment

    stream = torch.Generator().manual_seed(0)
    swap(augment, "uniform", lambda ids, draws, **key: torch.rand(draws, len(ids), generator=stream))


SWITCHES = by_name(
    default_allocator,
    torchs_response_norm,
    plain_float,
    stream_of_draws,
    one_batch_at_a_time,
    each_batch_counted,
    automatic_optimization,
    lightnings_profiler,
)
