"""The limit: a PyTorch loop and nothing else, on inputs that lie ready on the device, augmented and in float32.

The fused optimizer, channels last and autocast as in this project; on a GPU the step is captured in a CUDA graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.job import job
from benchmarks.pace import Pace
from trainlab.optim import train_step
from trainlab.runtime.process import keep_freed_memory

MOST_BATCHES = 64  # different ones, over and over
MOST_VALUES = 2**27  # float32: 512 MiB


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Train the job of these overrides in the bare loop, in the blocks that `pace` asks for. folder: not used."""
    keep_freed_memory()  # as in this project's runs; the whole difference that it makes is the side "plain"'s
    this = job(overrides)
    pace.synchronise, pace.memory = this.synchronise, this.memory() or pace.memory
    train, augment = this.data.sets.train, this.data.augmentation
    values = this.batch_size * torch.Size(this.data.input_shape).numel()
    batches = []
    for ids in torch.randperm(len(train)).split(this.batch_size)[: max(2, min(MOST_BATCHES, MOST_VALUES // values))]:
        images = train.some(ids)
        if augment is not None:
            images = augment.train(images, ids, torch.zeros_like(ids), seed=0, epoch=0)
        if len(ids) == this.batch_size:
            batches.append((images.to(this.device), train.labels[ids].to(this.device)))

    net, loss, optimizer = this.net, this.loss, this.optimizer()

    def step(images: Tensor, labels: Tensor) -> None:
        with this.autocast():
            train_step(net, loss, optimizer, images, labels)

    run_step = captured(step, *batches[0]) if this.device.type == "cuda" else step
    pace.wait()
    for images, labels in itertools.cycle(batches):
        run_step(images, labels)
        pace.step(len(labels))


Step = Callable[[Tensor, Tensor], None]


def captured(step: Step, images: Tensor, labels: Tensor) -> Step:
    """The step as one CUDA graph, by the recipe of torch's "CUDA semantics", whole-network capture."""
    held_images, held_labels = images.clone(), labels.clone()
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step(held_images, held_labels)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(held_images, held_labels)

    def replay(images: Tensor, labels: Tensor) -> None:
        held_images.copy_(images)
        held_labels.copy_(labels)
        graph.replay()

    return replay
