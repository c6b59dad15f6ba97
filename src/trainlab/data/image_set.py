"""A set of examples: uint8 images, or float points of the plane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainlab.data.packed import PackedImages
from trainlab.errors import InputError


@dataclass(frozen=True)
class ImageSet:
    """Examples and their classes.

    images: uint8 (N, C, H, W) with H = W, in memory or read where they lie; or float32 (N, F) for points, which are not
    augmented.
    labels: int64 (N,), each in [0, len(classes)).
    """

    images: Tensor | PackedImages
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        kind = (self.images.dtype, self.images.ndim)
        assert kind in ((torch.uint8, 4), (torch.float32, 2)), f"not an image set or a point set: {kind}"
        assert self.labels.dtype == torch.int64
        assert len(self.labels) == len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_points(self) -> bool:
        return self.images.ndim == 2

    def take(self, indices: Tensor) -> ImageSet:
        """The examples at `indices` (int64), in that order."""
        images = self.images.take(indices) if isinstance(self.images, PackedImages) else self.images[indices]
        return ImageSet(images, self.labels[indices], self.classes)

    def some(self, indices: Tensor) -> Tensor:
        """The images or points at `indices` (int64), in the memory order that all of them have."""
        if not isinstance(self.images, Tensor):
            return self.images[indices]
        if self.is_points or self.images.is_contiguous():
            return self.images.index_select(0, indices)
        return self.images.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)

    def channels_last(self, most: int) -> ImageSet:
        """The same with the channels of each pixel side by side in memory; packed, or of more bytes, as it lies."""
        if not isinstance(self.images, Tensor) or self.images.numel() > most:
            return self
        return replace(self, images=self.images.contiguous(memory_format=torch.channels_last))

    @property
    def everything(self) -> Tensor:
        """All images or points, in memory."""
        return self.images[torch.arange(len(self))] if isinstance(self.images, PackedImages) else self.images


@dataclass(frozen=True)
class Splits:
    """What training sees, what chooses the checkpoint (may be empty), and what is reported."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    notes: dict[str, int] = field(default_factory=dict)  # counts for results.json, such as skipped_images


def cut(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, cut): `fraction` of the examples cut away, every class by the same share.

    A pure function of its arguments. Raises InputError when the fraction leaves a class without examples
    on one of the two sides.
    """
    everything = torch.arange(len(labels))
    if fraction == 0:
        return everything, everything[:0]
    from sklearn.model_selection import train_test_split

    try:
        kept, away = train_test_split(
            everything.numpy(), test_size=fraction, random_state=seed, stratify=labels.numpy()
        )
    except ValueError as error:
        raise InputError(
            f"cannot cut a fraction of {fraction:g} from {len(labels)} examples: {str(error).rstrip('.')}; "
            "change data.val_fraction or data.test_fraction."
        ) from None
    return torch.from_numpy(kept).sort().values, torch.from_numpy(away).sort().values


def split(
    whole: ImageSet,
    *,
    test_fraction: float,
    val_fraction: float,
    split_seed: int,
    test: ImageSet | None = None,
) -> Splits:
    """Train, validation and test sets. `test_fraction` is of the whole, `val_fraction` of what remains.

    With a `test` set of its own nothing is cut for the test; validation never comes from it.
    """
    if test is None:
        kept, away = cut(whole.labels, test_fraction, split_seed)
        whole, test = whole.take(kept), whole.take(away)
    kept, away = cut(whole.labels, val_fraction, split_seed)
    return Splits(whole.take(kept), whole.take(away), test)


def fewer(sets: Splits, train_examples: int | None) -> Splits:
    """Only so many training examples, of every class the same share and the same ones for every seed.

    Raises InputError when there are not so many.
    """
    if train_examples is None or train_examples == len(sets.train):
        return sets
    if train_examples > len(sets.train):
        raise InputError(
            f"data.train_examples={train_examples} is more than the {len(sets.train)} training examples there are."
        )
    _, kept = cut(sets.train.labels, train_examples / len(sets.train), seed=0)
    return replace(sets, train=sets.train.take(kept))
