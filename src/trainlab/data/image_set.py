"""A set of examples: uint8 images, or float points of the plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from trainlab.data.packed.format import PackedImages
from trainlab.data.stratified import stratified
from trainlab.errors import InputError


@dataclass(frozen=True)
class ImageSet:
    """Examples and their classes.

    images: uint8 (N, C, H, W) with H = W, in memory or memory-mapped, the channels last in memory, as files have them
    (torch.channels_last: bytes N×H×W×C); or float32 (N, F) for points, which are not augmented. labels: int64 (N,),
    each in [0, len(classes)). classes: their names.
    """

    images: Tensor | PackedImages
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        kind = (self.images.dtype, self.images.ndim)
        assert kind in ((torch.uint8, 4), (torch.float32, 2)), f"not an image set or a point set: {kind}"
        if isinstance(self.images, Tensor) and self.images.ndim == 4:
            assert self.images.is_contiguous(memory_format=torch.channels_last), "give the images channels last"
        assert self.labels.dtype == torch.int64
        assert len(self.labels) == len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_points(self) -> bool:
        """Whether the examples are points and not images."""
        return self.images.ndim == 2

    def take(self, indices: Tensor) -> ImageSet:
        """The set of the examples at `indices`, int64 (n,), in that order."""
        images = self.images.take(indices) if isinstance(self.images, PackedImages) else self.some(indices)
        return ImageSet(images, self.labels[indices], self.classes)

    def some(self, indices: Tensor) -> Tensor:
        """The images or points at `indices`, int64 (n,) → (n, …)."""
        if isinstance(self.images, PackedImages):
            return self.images[indices]
        if self.is_points:
            return self.images.index_select(0, indices)
        return self.images.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)

    @property
    def all_images(self) -> Tensor:
        """All images or points, (N, …), in memory; a packed set is read."""
        return self.images[torch.arange(len(self))] if isinstance(self.images, PackedImages) else self.images


SKIPPED, PASSED_OVER, UNCUT, RELABELLED = "skipped_images", "passed_over", "uncut_classes", "relabelled"
NOTED = {  # of `DataSplits.notes`: what a count says, of one and of several
    SKIPPED: ("1 image could not be decoded and is left out", "{:,} images could not be decoded and are left out"),
    PASSED_OVER: (
        "1 hidden or system file or folder among the images is passed over",
        "{:,} hidden or system files and folders among the images are passed over",
    ),
    UNCUT: (
        "1 class has too few examples to be cut and stays whole in training",
        "{:,} classes have too few examples to be cut and stay whole in training",
    ),
    RELABELLED: (
        "1 training label is replaced by another class; validation and test stay as they are",
        "{:,} training labels are replaced by other classes; validation and test stay as they are",
    ),
}


@dataclass(frozen=True)
class DataSplits:
    """The three sets of a run: what is trained on, what chooses the checkpoint (it may be empty), and what is
    reported. notes: counts for results.json, such as skipped_images.
    """

    train: ImageSet
    val: ImageSet
    test: ImageSet
    notes: dict[str, int] = field(default_factory=dict)  # counts for results.json, such as skipped_images; see NOTED


def passed_over(count: int) -> str:
    """The sentence about this many hidden and system names that are passed over."""
    return NOTED[PASSED_OVER][count > 1].format(count)


TEST, VAL = "data.test_fraction", "data.val_fraction"


def cut(labels: Tensor, fraction: float, seed: int, option: str) -> tuple[Tensor, Tensor]:
    """Split examples in two by class: indices (kept, away), int64, each ascending; `away` is `fraction` of them.

    Every class gives the same share. A class with too few examples stays whole in `kept`, where every class has at
    least one. labels: int64 (N,). option: what the user calls `fraction`. A pure function of its arguments. Raises
    InputError where it cannot be done.
    """
    everything = torch.arange(len(labels))
    if fraction == 0:
        return everything, everything[:0]
    try:
        kept, away = stratified(labels.numpy(), float(fraction), seed)
    except ValueError as error:  # too few of some class, or in all
        counts = np.bincount(labels.numpy())
        counts[counts == 1] = 0  # nothing can be cut from these
        most = int(np.maximum(counts - 1, 0).sum())
        number = math.ceil(fraction * counts.sum())
        if not 0 < number <= most:
            if most:
                largest = 100 * most // counts.sum() / 100
                why = f"every class keeps one for training; set {option} to at most {largest}"
            else:
                why = f"no class has two; add examples{', or set data.val_fraction=0' * (option == VAL)}"
            whole = f"{len(labels)} examples of {len(labels.unique())} classes"
            raise InputError(f"cannot cut a fraction of {fraction:g} from {whole}: {why}.") from error
        numbers = deal_out(counts, number, least=np.zeros_like(counts), most=np.maximum(counts - 1, 0), seed=seed)
        away = _draw(labels, numbers, seed)
        kept = np.setdiff1d(everything.numpy(), away)
    return torch.from_numpy(kept).sort().values, torch.from_numpy(away).sort().values


def deal_out(counts: np.ndarray, number: int, *, least: np.ndarray, most: np.ndarray, seed: int) -> np.ndarray:
    """How many of each class to take, int64 (K,), `number` in all, in proportion to `counts` (K,).

    least, most: the bounds for each class, (K,); the sum of `least` is at most `number`, and that of `most` at least.
    Where several classes have the same claim to the next one, chance decides, by `seed`.
    """
    share = number * counts / counts.sum()
    dealt = np.clip(np.floor(share).astype(np.int64), least, most)
    order = np.random.RandomState(seed).permutation(len(counts))
    while missing := number - int(dealt.sum()):
        step = 1 if missing > 0 else -1
        free = dealt < most if step > 0 else dealt > least
        claim = np.where(free, step * (share - dealt), -np.inf)
        dealt[order[np.argmax(claim[order])]] += step
    return dealt


def _draw(labels: Tensor, numbers: np.ndarray, seed: int) -> np.ndarray:
    """int64: indices of numbers[k] examples of each class k, taken by chance."""
    random = np.random.RandomState(seed)
    taken = [random.permutation(np.flatnonzero(labels.numpy() == k))[:count] for k, count in enumerate(numbers)]
    return np.concatenate(taken)


def split(
    whole: ImageSet,
    *,
    test_fraction: float,
    val_fraction: float,
    split_seed: int,
    test: ImageSet | None = None,
) -> DataSplits:
    """Cut a set into training, validation and test sets, every class by the same share.

    test_fraction: of the whole. val_fraction: of what the test leaves. test: a test set of its own, with which
    nothing is cut for the test; validation never comes from it. split_seed: the cuts are a function of it alone.
    Raises InputError for fractions that cannot be cut.
    """
    uncut = torch.zeros(len(whole.classes), dtype=torch.bool)
    if test is None:
        kept, away = cut(whole.labels, test_fraction, split_seed, TEST)
        uncut |= left_whole(whole.labels, away, len(whole.classes))
        whole, test = whole.take(kept), whole.take(away)
    kept, away = cut(whole.labels, val_fraction, split_seed, VAL)
    uncut |= left_whole(whole.labels, away, len(whole.classes))
    return DataSplits(whole.take(kept), whole.take(away), test, {UNCUT: int(uncut.sum())} if uncut.any() else {})


def left_whole(labels: Tensor, away: Tensor, classes: int) -> Tensor:
    """Which classes have examples of which none was cut `away`: bool (classes,). All false where nothing was to be
    cut.
    """
    there = torch.bincount(labels, minlength=classes) > 0
    return there & (torch.bincount(labels[away], minlength=classes) == 0) & (len(away) > 0)


def spread(count: int, most: int | None) -> Tensor:
    """At most `most` of the places 0 … count − 1, evenly spread (pictures often lie class by class): int64. None:
    all.
    """
    some = min(count, most or count)
    return torch.arange(some) * count // some


def evenly_spread(sets: DataSplits, train: int, val: int, test: int) -> DataSplits:
    """The splits cut down to at most `train`, `val` and `test` examples, evenly spread over each set."""

    def some(part: ImageSet, most: int) -> ImageSet:
        return part.take(spread(len(part), most)) if len(part) > most else part

    return replace(sets, train=some(sets.train, train), val=some(sets.val, val), test=some(sets.test, test))


def subsample_train(sets: DataSplits, train_examples: int | None) -> DataSplits:
    """The splits with only `train_examples` of the training set, every class by the same share; None: all.

    Which ones does not depend on the run's seed. Every class keeps at least one. Raises InputError when there are
    fewer examples than that, or more classes.
    """
    have, labels = len(sets.train), sets.train.labels
    if train_examples is None or train_examples == have:
        return sets
    if train_examples > have:
        raise InputError(
            f"data.train_examples={train_examples} is more than the {have} training examples there are.",
            option="data.train_examples",
            value=train_examples,
        )
    counts = np.bincount(labels.numpy())
    if train_examples < (counts > 0).sum():
        raise InputError(
            f"data.train_examples={train_examples} is fewer than the {(counts > 0).sum()} classes, of "
            "which each needs one",
            option="data.train_examples",
            value=train_examples,
            hint="set it to at least that",
        )
    try:
        _, kept = stratified(labels.numpy(), train_examples, seed=0)
    except ValueError:  # a class with one example, or fewer left out than there are classes
        kept = _draw(labels, deal_out(counts, train_examples, least=np.minimum(counts, 1), most=counts, seed=0), seed=0)
    return replace(sets, train=sets.train.take(torch.from_numpy(kept).sort().values))


def relabel_train(sets: DataSplits, share: float, seed: int) -> DataSplits:
    """The splits with `share` of the training labels, in [0, 1], replaced: each by one of the other classes, all with
    the same probability. Validation and test stay as they are.

    A pure function of its arguments; what a smaller share replaces, a greater one replaces by the same. Source: the
    partially corrupted labels of Zhang et al. 2017, "Understanding deep learning requires rethinking generalization",
    §2.1, who draw from all classes, so that a tenth of ten classes' labels stay right. Raises InputError for one class.
    """
    if share == 0:
        return sets
    train, classes = sets.train, len(sets.train.classes)
    if classes < 2:
        raise InputError(
            f"data.label_noise={share:g} replaces labels by other classes, of which there are none",
            option="data.label_noise",
            value=share,
            hint="set it to 0",
        )
    draws = np.random.default_rng(seed)
    chosen = torch.from_numpy(draws.permutation(len(train)))[: round(share * len(train))]
    steps = torch.from_numpy(draws.integers(1, classes, len(train)))[: len(chosen)]
    labels = train.labels.clone()
    labels[chosen] = (labels[chosen] + steps) % classes
    return replace(sets, train=replace(train, labels=labels), notes={**sets.notes, RELABELLED: len(chosen)})
