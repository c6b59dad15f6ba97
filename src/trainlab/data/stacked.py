"""What the members of a stack are shown: the batches of each one's single run, many steps at a time.

Members with the same data and the same seed are shown the same, so they are a group with one stream of batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.augment import NoAugmentation
from trainlab.data.batches import GlobalBatchSampler
from trainlab.data.image_set import ImageSet
from trainlab.data.module import ImageData

EVALUATED = 2**22  # float32 inputs that are measured at a time: 16 MiB
MOST_CACHED = 2**26  # float32 values of a set that are cached as the network sees them: 256 MiB


class Block(NamedTuple):
    """The batches of some steps. inputs: float32 (steps, groups, b, features); labels: int64 (steps, groups, b);
    targets: the same one-hot, float32 (steps, groups, classes, b).
    """

    inputs: Tensor
    labels: Tensor
    targets: Tensor


class Sets:
    """Sets as the network sees them without variation, each read once for all that use it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.inputs: dict[tuple[int, ...], Tensor] = {}
        self.evaluations: dict[tuple[int, str, bool], Evaluation] = {}

    def training(self, modules: Sequence[ImageData]) -> Tensor:
        """The training sets one after the other, float32 (N, features)."""
        key = tuple(id(module.sets) for module in modules)
        if key not in self.inputs:
            self.inputs[key] = torch.cat([m.training_inputs().flatten(1) for m in modules]).to(self.device)
        return self.inputs[key]

    def evaluation(self, module: ImageData, name: str, *, all_views: bool = False) -> Evaluation:
        """The set "val" or "test"."""
        key = (id(module.sets), name, all_views)
        if key not in self.evaluations:
            self.evaluations[key] = Evaluation(module, getattr(module.sets, name), self.device, all_views=all_views)
        return self.evaluations[key]


class StackedLoader:
    """The training batches of each group of a stack. modules: the data module of one member of each; their sets have
    the same sizes.
    """

    def __init__(self, modules: Sequence[ImageData], sets: Sets) -> None:
        self.modules, self.device = list(modules), sets.device
        first = modules[0]
        self.views, self.classes = first.train_views, len(first.classes)
        self.samples = len(first.sets.train) * first.train_views
        self.batch = first.batch_size or self.samples
        self.features = torch.Size(first.input_shape).numel()
        self.steps = first.train_batches
        distinct = list({id(module.sets): module for module in modules}.values())
        numbers = {id(module.sets): number for number, module in enumerate(distinct)}
        self.set_of = torch.tensor([numbers[id(module.sets)] for module in modules])
        self.cached: Tensor | None = None
        if all(is_fixed(module) for module in distinct) and len(distinct) * self.samples * self.features <= MOST_CACHED:
            self.cached = sets.training(distinct)
        self.labels = torch.cat([module.sets.train.labels for module in distinct]).to(self.device)

    def epoch(self, epoch: int, most: int) -> Iterator[Block]:
        """The blocks of an epoch, counted from 0, each of at most `most` steps; a smaller batch at its end is a block
        of its own.
        """
        orders = self.orders(epoch)
        whole = self.samples // self.batch
        for begin in range(0, whole, most):
            steps = min(most, whole - begin)
            some = orders[:, begin * self.batch : (begin + steps) * self.batch]
            yield self.block(some.unflatten(1, (steps, self.batch)), epoch)
        if whole * self.batch < self.samples:
            yield self.block(orders[:, None, whole * self.batch :], epoch)

    def orders(self, epoch: int) -> Tensor:
        """The order of each group's samples, int64 (groups, samples): its single run's."""
        found: dict[int, Tensor] = {}
        for seed in {module.seed for module in self.modules}:
            sampler = GlobalBatchSampler(
                self.samples // self.views, self.batch, views=self.views, seed=seed, shuffle=True
            )
            sampler.set_epoch(epoch)
            found[seed] = sampler.order()
        return torch.stack([found[module.seed] for module in self.modules])

    def block(self, samples: Tensor, epoch: int) -> Block:
        """The batches of these samples, int64 (groups, steps, b)."""
        ids = samples // self.views if self.views > 1 else samples
        examples = self.samples // self.views
        indices = (ids + (self.set_of * examples)[:, None, None]).transpose(0, 1).to(self.device)
        labels = self.labels[indices]
        if self.cached is not None:
            inputs = self.cached.index_select(0, indices.flatten()).view(*indices.shape, self.features)
        else:
            inputs = torch.stack([self.varied(group, samples[group], epoch) for group in range(len(samples))], 1)
        return Block(inputs, labels, one_hot(labels, self.classes))

    def varied(self, group: int, samples: Tensor, epoch: int) -> Tensor:
        """What one group is shown of these samples, int64 (steps, b) → float32 (steps, b, features)."""
        module = self.modules[group]
        augmentation = module.augmentation
        assert augmentation is not None, "points are always cached"
        flat = samples.flatten()
        ids, views = (part.to(self.device) for part in (flat // self.views, flat % self.views))
        images = module.sets.train.some(flat // self.views).to(self.device)
        inputs = augmentation.train(images, ids, views, seed=module.seed, epoch=epoch)
        return inputs.reshape(*samples.shape, -1)


def is_fixed(module: ImageData) -> bool:
    """Whether the network sees an example the same each time."""
    return module.augmentation is None or isinstance(module.augmentation, NoAugmentation)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """int64 (…, b) → float32 (…, classes, b)."""
    return F.one_hot(labels, classes).transpose(-1, -2).float()


class Evaluation:
    """A set as every member sees it when it is measured, a part at a time. views: how many views of each image."""

    def __init__(self, module: ImageData, examples: ImageSet, device: torch.device, *, all_views: bool) -> None:
        self.module, self.examples, self.device, self.all_views = module, examples, device, all_views
        self.features = torch.Size(module.input_shape).numel()
        self.views = module.test_views if all_views else 1
        self.labels = examples.labels.to(device)
        self.cached = self.read(0, len(examples)) if len(examples) * self.views * self.features <= MOST_CACHED else None

    def read(self, begin: int, end: int) -> Tensor:
        """float32 (views, examples, features)."""
        images = self.examples.some(torch.arange(begin, end)).to(self.device)
        augmentation = self.module.augmentation
        if augmentation is None:
            return images[None]
        seen = augmentation.test_views(images) if self.all_views else augmentation.test(images)[None]
        return seen.flatten(2)

    @property
    def at_a_time(self) -> int:
        """How many examples are measured together at most."""
        return max(1, min(1024, EVALUATED // (self.views * self.features), len(self.examples)))

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs, float32 (views, n, features), and labels, int64 (n,)."""
        for begin in range(0, len(self.examples), self.at_a_time):
            end = min(begin + self.at_a_time, len(self.examples))
            inputs = self.read(begin, end) if self.cached is None else self.cached[:, begin:end]
            yield inputs, self.labels[begin:end]
