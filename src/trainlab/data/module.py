"""The data module: a source's sets → batches → device → one augmentation call on the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from trainlab.augment import Augmentation, ChannelStatistics, MeasuredStatistics, NoAugmentation, Statistics
from trainlab.data.batches import Batch, GlobalBatchSampler, IndexedBatches
from trainlab.data.image_set import NOTED, DataSplits, ImageSet, evenly_spread
from trainlab.data.packed.format import PackedImages
from trainlab.errors import InputError

EVALUATION_VALUES = 2**25  # float32 inputs of one evaluation batch, all views: 128 MiB


class ImageData(L.LightningDataModule):
    """The DataModule: serves one data set to any of the networks.

    load: reads the sets; called once. augmentation: makes the `Augmentation`, given the side of the stored images and
    their statistics; points take NoAugmentation only. batch_size: global, over all ranks; None for the whole training
    set in one batch. batches: use only this many batches of each set, views counted, evenly spread over it; None for
    all. A set that is one batch stays whole. seed: of order and augmentation. channels_last: whether the network takes
    its inputs in that memory order. mean: of each channel, float32 (C,); None: it is measured on the training set.
    """

    def __init__(
        self,
        load: Callable[[], DataSplits],
        augmentation: Callable[..., Augmentation],
        *,
        batch_size: int | None,
        batches: int | None = None,
        seed: int = 0,
        channels_last: bool = False,
        mean: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.load, self.make_augmentation = load, augmentation
        self.batch_size, self.batches = batch_size, batches
        self.seed, self.mean_given = seed, mean
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.splits: DataSplits | None = None
        self.augmentation: Augmentation | None = None
        self.first_batch = 0  # of the first epoch: a run may be resumed within an epoch
        self.steps_per_execution = 1  # training batches that are given out as one

    def setup(self, stage: str | None = None) -> None:
        """Read the sets and measure the mean of the training set. Lightning calls this again, and then it does
        nothing. Raises InputError for data that do not go with the options.
        """
        if self.splits is not None:
            return
        self.splits = self.load()
        stored = self.splits.train.images.shape[-1]
        if not self.splits.train.is_points:
            self.augmentation = self.make_augmentation(
                stored=stored, statistics=self.statistics(self.splits.train), memory_format=self.memory_format
            )
        elif not isinstance(self.make_augmentation(stored=1), NoAugmentation):
            raise InputError(
                "these data are points, not images", hint="use model=perceptron or model=mlp, and aug=none"
            )
        if self.batches is not None and self.batch_size is not None:
            most = self.batches * self.batch_size
            least = -(-self.batch_size // self.train_views)  # images whose views fill one batch
            tested = -(-most // self.test_views)
            self.splits = evenly_spread(self.splits, train=max(most // self.train_views, least), val=most, test=tested)
        train = self.splits.train
        samples = len(train) * self.train_views
        if self.batch_size is not None and self.batch_size > samples:
            raise InputError(
                f"data.batch_size={self.batch_size} is more than the {samples} training examples there are",
                option="data.batch_size",
                value=self.batch_size,
                hint=f"use at most {samples}",
            )

    def statistics(self, train: ImageSet) -> Statistics:
        """The statistics of the training set's colours: as given, as measured when the set was packed, or measured
        now.
        """
        if self.mean_given is not None:
            return ChannelStatistics(self.mean_given)
        return train.images.statistics if isinstance(train.images, PackedImages) else MeasuredStatistics(train.images)

    @property
    def sets(self) -> DataSplits:
        """Training, validation and test set, once `setup` has read them."""
        assert self.splits is not None, "setup() comes first"
        return self.splits

    @property
    def train_views(self) -> int:
        """How many examples one training image stands for in an epoch."""
        return self.augmentation.train_views if self.augmentation else 1

    @property
    def test_views(self) -> int:
        """Over how many views of an image the test averages."""
        return getattr(self.augmentation, "views", 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.sets.train.classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network sees of one example: (C, size, size), or (F,) for points."""
        channels = self.sets.train.images.shape[1]
        return (channels, self.augmentation.size, self.augmentation.size) if self.augmentation else (channels,)

    @property
    def mean(self) -> list[float] | None:
        """The mean of each channel as a share of the full range, [0, 1]; None for points."""
        mean = self.augmentation.mean if self.augmentation else None
        return None if mean is None else mean.tolist()

    @property
    def remarks(self) -> list[str]:
        """What a reader of the run should know about the data, in sentences: sizes, enlargement, views, skipped
        images.
        """
        train, val, test = len(self.sets.train), len(self.sets.val), len(self.sets.test)
        lines = [f"{train:,} training, {val:,} validation and {test:,} test examples of {len(self.classes)} classes"]
        if self.augmentation is not None:
            stored, side = self.sets.train.images.shape[-1], self.augmentation.resize_to
            if side > stored:
                lines.append(f"images enlarged from {stored}×{stored} to {side}×{side} pixels for this network")
            if self.train_views > 1:
                lines.append(
                    f"an epoch is {train * self.train_views:,} examples: {self.train_views} views of each image"
                )
            if not self.augmentation.reflections and self.augmentation.reflects:
                lines.append("reflected views are left out: a mirrored image of this data is of another class")
        lines += [NOTED[name][count > 1].format(count) for name, count in self.sets.notes.items() if count]
        return lines

    def training_inputs(self) -> torch.Tensor:
        """The whole training set as the network sees it, float32 (N, …), without random variation."""
        images = self.sets.train.all_images
        return self.augmentation.test(images) if self.augmentation else images

    @property
    def train_batches(self) -> int:
        """How many global batches, and so steps, an epoch has."""
        return -(-len(self.sets.train) * self.train_views // self._train_batch)

    @property
    def _train_batch(self) -> int:
        return self.batch_size or len(self.sets.train) * self.train_views

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training set, uint8 (b, C, S, S) before the augmentation, in a new order each epoch."""
        order = {
            "views": self.train_views,
            "shuffle": True,
            "every_rank": True,
            "steps_per_execution": self.steps_per_execution,
        }
        loader = self._loader(self.sets.train, self._train_batch, **order)
        loader.sampler.skip(self.first_batch)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Batches of the validation set in its order; no loader where it is empty."""
        return self._loader(self.sets.val, self._evaluation_batch(1)) if len(self.sets.val) else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test set in its order."""
        return self._loader(self.sets.test, self._evaluation_batch(self.test_views))

    def _evaluation_batch(self, views: int) -> int:
        return max(1, min(1024, EVALUATION_VALUES // (views * torch.Size(self.input_shape).numel()))) * self._world_size

    def _loader(self, images: ImageSet, batch_size: int, views: int = 1, **order: Any) -> DataLoader[Batch]:
        batches = GlobalBatchSampler(
            len(images),
            batch_size,
            views=views,
            seed=self.seed,
            share=(self.trainer.global_rank if self.trainer else 0, self._world_size),
            **order,
        )
        # The sampler's items are whole batches and slicing one takes microseconds, so no collation, no workers.
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(IndexedBatches(images, views), sampler=batches, batch_size=None, pin_memory=on_gpu)

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch, still uint8, to the device."""
        if device.type == "cpu":
            return batch
        inputs, labels, ids, views = (part.to(device, non_blocking=True) for part in batch[:4])
        return batch._replace(inputs=inputs, labels=labels, ids=ids, views=views)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a batch on the device: uint8 (b, C, S, S) → float32.

        Training: one varied view, (b, C, size, size). Validation: the centre view. Test: all views, (V, b, C, size,
        size).
        """
        if self.augmentation is None:
            return batch
        assert self.trainer is not None
        if self.trainer.training:
            inputs = self.augmentation.train(
                batch.inputs, batch.ids, batch.views, seed=self.seed, epoch=self.trainer.current_epoch
            )
        elif self.trainer.testing:
            inputs = self.augmentation.test_views(batch.inputs)
        else:
            inputs = self.augmentation.test(batch.inputs)
        return batch._replace(inputs=inputs)
