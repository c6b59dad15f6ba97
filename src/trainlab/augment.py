"""Whole batches on the device: crop, reflect, enlarge, ten views, subtract the mean. uint8 in, float out.

Every random draw is a pure function of (seed, epoch, example), so it does not depend on how the examples
are dealt out to batches, processes or devices.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TEN_CROP_SHARE = 7 / 8  # 224 of 256 pixels (Krizhevsky et al. 2012, §4.1)
CENTRE_VIEW = 4  # among the ten


def channel_mean(images: Tensor) -> Tensor:
    """The mean of each channel: uint8 (N, C, H, W) → float32 (C,) in [0, 1], where 1 stands for 255. It is exact: the
    pixels are summed as integers.
    """
    parts = [part.flatten(2).sum(2, dtype=torch.int32).sum(0, dtype=torch.int64) for part in images.split(4096)]
    pixels = images.numel() // images.shape[1]
    return (torch.stack(parts).sum(0).double() / (255 * pixels)).float()


def channel_covariance(images: Tensor) -> Tensor:
    """The covariance of the colours of all pixels: uint8 (N, C, H, W) → float64 (C, C), in units where 255 is 1."""
    channels = images.shape[1]
    products, sums, pixels = torch.zeros(channels, channels, dtype=torch.float64), torch.zeros(channels).double(), 0
    for part in images.split(256):
        colours = part.permute(1, 0, 2, 3).to(torch.float32, memory_format=torch.contiguous_format).flatten(1)
        products += (colours @ colours.T / 255**2).double()
        sums += colours.sum(1).double() / 255
        pixels += colours.shape[1]
    mean = sums / pixels
    return products / pixels - mean[:, None] * mean


class ChannelStatistics:
    """Mean and covariance of the colours of a training set. mean: float32 (C,) in [0, 1]; covariance: float64 (C, C),
    or None if it is not known.
    """

    def __init__(self, mean: Tensor, covariance: Tensor | None = None) -> None:
        self.mean, self.covariance = mean, covariance


class MeasuredStatistics:
    """Mean and covariance of the colours of these images, uint8 (N, C, H, W). The covariance takes longer, and is
    measured only where it is asked for.
    """

    def __init__(self, images: Tensor) -> None:
        self.images, self.mean = images, channel_mean(images)

    @property
    def covariance(self) -> Tensor:
        """float64 (C, C), in units where 255 is 1."""
        return channel_covariance(self.images)


Statistics = ChannelStatistics | MeasuredStatistics


class Augmentation(ABC):
    """How stored images become what the network sees: uint8 (B, C, S, S) → float32 (B, C, size, size) in about [−1,
    1]. Stored images have their channels last in memory; another order costs time and changes nothing.

    stored: S, the side of the stored images. size: the side of the network's input; None: it follows from `stored`
    and `min_size`, the least that the network takes. Where `stored` is too small the images are enlarged first
    (bilinear). reflections: whether a mirrored image keeps its class. statistics: of the training set, whose mean is
    subtracted; without them only the sizes can be asked for. memory_format: the order in memory of the result.
    """

    train_views = 1  # how many examples one image stands for in an epoch
    reflects = True  # whether it would reflect images, if that kept their classes

    def __init__(
        self,
        stored: int,
        *,
        statistics: Statistics | None = None,
        min_size: int = 1,
        size: int | None = None,
        reflections: bool = True,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.reflections, self.memory_format = reflections, memory_format
        self.resize_to, self.size = self.geometry(stored, min_size, size)
        self.mean = None if statistics is None else statistics.mean

    @staticmethod
    def geometry(stored: int, min_size: int, size: int | None) -> tuple[int, int]:
        """(side of the enlarged image, side of the network's input)."""
        side = max(stored, min_size) if size is None else size
        return side, side

    @abstractmethod
    def train(self, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        """One randomly varied view of each image: uint8 (B, C, S, S) → float32 (B, C, size, size). ids: int64 (B,),
        the images' positions in the set; views: int64 (B,), which of its views, for augmentations that number them.
        What is drawn depends on seed, epoch and id only.
        """

    def test(self, images: Tensor) -> Tensor:
        """The centre of each image, without random variation: uint8 (B, C, S, S) → float32 (B, C, size, size)."""
        return self.normalize(_centre(self.resize(images), self.size))

    def test_views(self, images: Tensor) -> Tensor:
        """The views whose predictions are averaged at test time: uint8 (B, C, S, S) → float32 (V, B, C, size, size)."""
        return self.test(images)[None]

    def resize(self, images: Tensor) -> Tensor:
        """Enlarge to the side `resize_to`, bilinear, float32; images that have it already are returned as they are."""
        if images.shape[-1] == self.resize_to:
            return images
        return F.interpolate(images.float(), size=(self.resize_to, self.resize_to), mode="bilinear", antialias=False)

    def normalize(self, images: Tensor, colours: Tensor | None = None) -> Tensor:
        """Subtract the mean of each channel and scale 0…255 to 0…1: (B, C, H, W) → float32 of the same shape. colours:
        float32 (B, C), then added to every pixel of an image.

        The result has the memory order `memory_format`: it is taken up here, on the way from bytes to float.
        """
        assert self.mean is not None, "the statistics of the training set were not given"
        mean = 255 * self.mean.to(images.device)
        if images.device.type == "cpu":
            return _to_float(images, mean, colours, self.memory_format)
        seen = images.to(torch.float32, copy=True, memory_format=self.memory_format)
        _centre_values(seen, mean[:, None, None])
        return seen if colours is None else seen.add_(colours[:, :, None, None])


class NoAugmentation(Augmentation):
    """aug=none: the image as it is, the mean subtracted."""

    reflects = False

    def train(self, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        """The image as it is at test time."""
        return self.test(images)


class CropFlip(Augmentation):
    """aug=crop_flip: a random crop of the image with a border of `padding` pixels of the mean colour around it,
    reflected with probability ½.
    """

    def __init__(self, stored: int, *, padding: int = 4, **kwargs: int | bool | None) -> None:
        super().__init__(stored, **kwargs)  # type: ignore[arg-type]
        self.padding = padding

    def train(self, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        """A crop of each image in its border, its place and reflection drawn; see `Augmentation.train`."""
        draws = uniform(ids, 3, seed=seed, epoch=epoch)
        top, left = ((draws[:2] * (2 * self.padding + 1)).long()).unbind()
        mirrored = draws[2] < 0.5 if self.reflections else torch.zeros_like(ids, dtype=torch.bool)
        framed = F.pad(self.normalize(self.resize(images)), [self.padding] * 4)
        return crop(framed, top, left, mirrored, self.size).contiguous(memory_format=self.memory_format)


class TenCrop(Augmentation):
    """aug=tencrop: four corners, the centre, and their reflections (Krizhevsky et al. 2012, §4.1).

    With ``train_views="all"`` a training epoch holds every view of every image; with "one" it holds one view of each
    image, drawn anew in each epoch. At test time the predictions of all views are averaged. Without reflections there
    are five views.
    """

    def __init__(self, stored: int, *, train_views: str = "all", **kwargs: int | bool | None) -> None:
        super().__init__(stored, **kwargs)  # type: ignore[arg-type]
        assert train_views in ("all", "one"), f"train_views={train_views} is unknown; use all or one"
        self.views = 10 if self.reflections else 5
        self.train_views = self.views if train_views == "all" else 1

    @staticmethod
    def geometry(stored: int, min_size: int, size: int | None) -> tuple[int, int]:
        """(side of the enlarged image, side of the network's input): the input is 7/8 of the image, as 224 of 256."""
        if size is None:
            side = max(stored, math.ceil(min_size / TEN_CROP_SHARE))
            return side, max(math.floor(side * TEN_CROP_SHARE), min_size)
        return max(stored, math.ceil(size / TEN_CROP_SHARE)), size

    def corner(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the views are: int64 (B,) numbers of views → top and left, int64 (B,), and mirrored, bool (B,).

        Views 0 to 4 are top left, top right, bottom left, bottom right and centre; 5 to 9 are the same, reflected.
        This is the order of torchvision's TenCrop.
        """
        room, middle = self.resize_to - self.size, round((self.resize_to - self.size) / 2)
        tops = torch.tensor([0, 0, room, room, middle], device=views.device)
        lefts = torch.tensor([0, room, 0, room, middle], device=views.device)
        mirrored = views >= 5
        # torchvision reflects the image and then crops: the left corner of the reflection is the right one here.
        left = lefts[views % 5]
        return tops[views % 5], torch.where(mirrored, room - left, left), mirrored

    def train(self, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        """The view number `views` of each image, or one that is drawn; see `Augmentation.train`."""
        if self.train_views == 1:
            views = (uniform(ids, 1, seed=seed, epoch=epoch)[0] * self.views).long()
        return self.normalize(crop(self.resize(images), *self.corner(views), self.size))

    def test_views(self, images: Tensor) -> Tensor:
        """Corners and centre, and their reflections where an image may be reflected; see `Augmentation.test_views`."""
        images = self.normalize(self.resize(images))
        views = []
        for top, left, mirror in self.places:
            view = images[..., top : top + self.size, left : left + self.size]
            views.append(view.flip(-1) if mirror else view)
        return torch.stack(views)

    @cached_property
    def places(self) -> list[tuple[int, int, bool]]:
        """(top, left, mirrored) of each view of the test."""
        tops, lefts, mirrored = self.corner(torch.arange(self.views))
        return list(zip(tops.tolist(), lefts.tolist(), mirrored.tolist(), strict=True))


class AlexNetAugmentation(TenCrop):
    """aug=alexnet: random crops, reflections and colour noise in training, ten crops in testing (Krizhevsky et al.
    2012, §4.1).

    colour: to every image [p1 p2 p3][α1λ1 α2λ2 α3λ3]ᵀ is added, p the principal components of the colours of the
    training set, α ~ N(0, colour²) drawn for each image in each epoch. colour_unit: what λ is. "deviation", the
    square roots of the covariance's eigenvalues, is what others take and what a component's magnitude can mean:
    "eigenvalue", the paper's word, is 300 grey levels of noise on ImageNet if the pixels go to 255, and one if they
    go to 1, as here. colour_until: no noise from this epoch on (counted from 0); None: noise in all epochs.
    shared_crops: this many neighbours in the training set share the place of their crop (32 in the 2012 code).
    """

    def __init__(
        self,
        stored: int,
        *,
        statistics: Statistics | None = None,
        colour: float = 0.1,
        colour_unit: str = "deviation",
        colour_until: int | None = None,
        shared_crops: int = 1,
        **kwargs: int | bool | None,
    ) -> None:
        super().__init__(stored, train_views="one", statistics=statistics, **kwargs)  # type: ignore[arg-type]
        known = ("deviation", "eigenvalue")
        assert colour_unit in known, f"colour_unit={colour_unit} is unknown; use deviation or eigenvalue"
        self.colour, self.colour_unit, self.colour_until = colour, colour_unit, colour_until
        self.shared_crops = shared_crops
        covariance = statistics.covariance if statistics is not None and colour > 0 else None
        self.components = None if covariance is None else components(covariance, colour_unit)

    def train(self, images: Tensor, ids: Tensor, views: Tensor, *, seed: int, epoch: int) -> Tensor:
        """A crop of each image, its place, reflection and colours drawn; see `Augmentation.train`."""
        channels = images.shape[1]
        draws = uniform(ids, 3 + 2 * channels, seed=seed, epoch=epoch)
        places = draws[:2]
        if self.shared_crops > 1:
            first = ids // self.shared_crops * self.shared_crops
            places = uniform(first, 3 + 2 * channels, seed=seed, epoch=epoch)[:2]
        top, left = (places * (self.resize_to - self.size + 1)).long().unbind()
        mirrored = draws[2] < 0.5 if self.reflections else torch.zeros_like(ids, dtype=torch.bool)
        cut = crop(self.resize(images), top, left, mirrored, self.size)
        if not self.colour or (self.colour_until is not None and epoch >= self.colour_until):
            return self.normalize(cut)
        assert self.components is not None, "the covariance of the training set was not given"
        alpha = self.colour * normal(draws[3 : 3 + channels], draws[3 + channels :])
        return self.normalize(cut, (self.components.to(cut.device) @ alpha).T)


def components(covariance: Tensor, unit: str) -> Tensor:
    """The principal components of the colours, scaled: float32 (C, C), column i is p_i λ_i. covariance: float64 (C,
    C). unit: what λ is, "deviation" (the square root of the eigenvalue) or "eigenvalue".
    """
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues = eigenvalues.clamp(min=0)  # a set of one colour has rounding errors for variances
    return (vectors * (eigenvalues if unit == "eigenvalue" else eigenvalues.sqrt())).float()


def crop(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """One crop of each image: (B, C, H, W) → (B, C, size, size). top, left: int64 (B,), the crops' corners; mirrored:
    bool (B,), which crops are reflected.
    """
    if images.device.type == "cpu":
        return _crop_one_by_one(images, top, left, mirrored, size)
    along = torch.arange(size, device=images.device)
    rows = top[:, None] + along
    columns = left[:, None] + torch.where(mirrored[:, None], size - 1 - along, along)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexing around a slice leaves the channels last in memory
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _crop_one_by_one(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """The same on a CPU, in the memory order of `images`: copying rows is many times as fast as looking up each
    pixel's place.
    """
    source, (count, channels) = images.numpy(), images.shape[:2]
    if images.stride(1) == 1:
        target = np.empty((count, size, size, channels), source.dtype).transpose(0, 3, 1, 2)
    else:
        target = np.empty((count, channels, size, size), source.dtype)
    for k, (row, column, mirror) in enumerate(zip(top.tolist(), left.tolist(), mirrored.tolist(), strict=True)):
        window = source[k, :, row : row + size, column : column + size]
        if mirror and images.dtype == torch.uint8:
            target[k] = torch.from_numpy(window).flip(-1).numpy()  # many at once; numpy reverses bytes one by one
        else:
            target[k] = window[..., ::-1] if mirror else window
    return torch.from_numpy(target)


IN_CACHE = 2**17  # float32 values: half a MiB


def _to_float(images: Tensor, mean: Tensor, colours: Tensor | None, memory_format: torch.memory_format) -> Tensor:
    """(x − mean) / 255 + colours on a CPU: a few images at a time, so that only the result goes through the memory.

    Bytes become float, in the order that is wanted, before anything is subtracted from them, which from bytes takes
    twenty times as long; and where the channels come last, what differs by channel is written out along a row of
    pixels, for the same reason.
    """
    count, channels, height, width = images.shape
    if channels > 1 and memory_format == torch.channels_last:  # one channel is first and last
        seen = torch.empty(images.shape, memory_format=memory_format)
        rows = seen.permute(0, 2, 3, 1).view(count, height, width * channels)
        mean = mean.repeat(width)
        colours = None if colours is None else colours.repeat(1, width)[:, None]
    else:
        seen = torch.empty(images.shape)
        rows = seen.view(count, channels, height * width)
        mean = mean[:, None]
        colours = None if colours is None else colours[:, :, None]
    step = max(1, IN_CACHE // (channels * height * width))
    for begin in range(0, count, step):
        some = slice(begin, begin + step)
        seen[some].copy_(images[some])
        _centre_values(rows[some], mean)
        if colours is not None:
            rows[some].add_(colours[some])
    return seen


def _centre_values(values: Tensor, mean: Tensor) -> Tensor:
    """(x − mean) / 255 in place, of what is float already; mean: in grey levels. Everywhere the same two roundings."""
    return values.sub_(mean).mul_(1 / 255)


def _centre(images: Tensor, size: int) -> Tensor:
    start = round((images.shape[-1] - size) / 2)
    return images[..., start : start + size, start : start + size]


def uniform(ids: Tensor, draws: int, *, seed: int, epoch: int) -> Tensor:
    """Random numbers that belong to examples: float32 (draws, B) in [0, 1), pure functions of (seed, epoch, id,
    draw).

    A counter-based generator, the finaliser of splitmix64 (Steele, Lea and Flood 2014), gives an example the same
    numbers in whatever batch or process it is used, which a stream of draws does not. ids: int64 (B,).
    """
    key = _mix(_mix(torch.tensor(seed, dtype=torch.int64)) + epoch).to(ids.device)
    counter = ids[None, :] * draws + torch.arange(draws, device=ids.device)[:, None]
    bits = _mix(_mix(counter + key) ^ key)
    return ((bits >> 40) & 0xFFFFFF).float() / 2**24


def normal(u: Tensor, v: Tensor) -> Tensor:
    """Standard normal numbers from two tensors of uniform ones in [0, 1), of the same shape (Box and Muller 1958)."""
    return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * v)


def _mix(x: Tensor) -> Tensor:
    """splitmix64's output function on int64, whose products wrap as unsigned ones do."""
    x = x + _signed(0x9E3779B97F4A7C15)
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own is arithmetic for int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant
