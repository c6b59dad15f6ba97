"""Which examples make up each batch: a pure function of (seed, epoch), shared out over the ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from trainlab.data.image_set import ImageSet


class Batch(NamedTuple):
    """One rank's part of one global batch, or all of several that follow each other.

    inputs: uint8 (b, C, H, W) as stored, or float after the augmentation; float32 (b, F) for points.
    labels, ids, views: int64 (b,); `ids` are positions in the set.
    size: how many of the b samples count: b, or 0 for the stand-in that a rank without work gets.
    global_size: samples of the global batch, all ranks together.
    step_size: samples of one step of the optimizer; where `b` is more, the batch is several steps.
    """

    inputs: Tensor
    labels: Tensor
    ids: Tensor
    views: Tensor
    size: int
    global_size: int
    step_size: int

    @property
    def steps(self) -> int:
        """How many steps of the optimizer the batch is."""
        return -(-len(self.labels) // self.step_size)


class BatchIndices(NamedTuple):
    """Which samples make up a batch, as the sampler gives them out.

    samples: int64 (b,); a sample is one view of one example, and has the number example·views + view. size,
    global_size, step_size: see `Batch`.
    """

    samples: Tensor
    size: int
    global_size: int
    step_size: int


class GlobalBatchSampler(Sampler[BatchIndices]):
    """The batches of an epoch. A set of n examples with v views each has n·v samples, sample = example·v + view.

    The sequence of global batches depends on (seed, epoch) only; rank r of w takes every w-th sample of each. Each
    sample is used exactly once per epoch, and the last batch may be smaller. A rank for which the last batch has
    nothing left gets a stand-in that does not count when `every_rank` is true (training, where all ranks must take
    part in each step), and no batch otherwise.

    examples, views: n and v. batch_size: samples of a global batch. share: this process's rank, and of how many.
    shuffle: a new order each epoch; else the order of the set. steps_per_execution: this many batches are given out as
    one, for steps so short that Lightning's work around each takes a good part of them. The batches are the same; with
    several ranks each is given out alone.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        *,
        views: int = 1,
        seed: int = 0,
        shuffle: bool = False,
        every_rank: bool = False,
        share: tuple[int, int] = (0, 1),
        steps_per_execution: int = 1,
    ) -> None:
        self.rank, self.world_size = share
        assert steps_per_execution == 1 or self.world_size == 1, "each rank's share is of one batch"
        self.span = batch_size * steps_per_execution
        self.samples, self.batch_size = examples * views, batch_size
        self.seed, self.shuffle, self.every_rank = seed, shuffle, every_rank
        self.epoch = self.first = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration has. Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Leave out this many global batches at the beginning of the next iteration only: they were used before a run
        was resumed.
        """
        self.first = batches

    def order(self) -> Tensor:
        """The order of this epoch's samples, int64 (n·v,), the same on every rank."""
        if not self.shuffle:
            return torch.arange(self.samples)
        state = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0]
        return torch.randperm(self.samples, generator=torch.Generator().manual_seed(int(state)))

    def __len__(self) -> int:
        if self.every_rank:
            return -(-self.samples // self.span)
        rest = self.samples % self.batch_size
        return self.samples // self.batch_size * (self.rank < self.batch_size) + (self.rank < rest)

    def __iter__(self) -> Iterator[BatchIndices]:
        begin, self.first = self.first * self.batch_size, 0
        order = self.order()
        while begin < self.samples:
            end = (begin // self.span + 1) * self.span  # the same ends wherever it begins
            whole = order[begin:end]
            mine = whole[self.rank :: self.world_size]
            if len(mine) or self.every_rank:
                yield BatchIndices(mine if len(mine) else whole[:1], len(mine), len(whole), self.batch_size)
            begin = end


class IndexedBatches(Dataset[Batch]):
    """An image set from which whole batches are sliced by index. views: how many views of an image the augmentation
    numbers.
    """

    def __init__(self, images: ImageSet, views: int = 1) -> None:
        self.images, self.views = images, views

    def __getitem__(self, batch: BatchIndices) -> Batch:
        ids = batch.samples // self.views if self.views > 1 else batch.samples
        views = batch.samples % self.views
        return Batch(self.images.some(ids), self.images.labels[ids], ids, views, *batch[1:])
