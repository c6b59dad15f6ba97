"""AlexNet as published: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NeurIPS 2012, §3 (lecture: "Cerremos con un caso de estudio")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.errors import InputError
from trainlab.models.activations import activation as activation_named
from trainlab.models.initial_weights import initialise
from trainlab.models.response_normalisation import LocalResponseNorm


class HangOver(nn.Module):
    """Zeros on the right and below, so that the last window of conv1 hangs over the border.

    224 → 227, hence 55 = 1 + ⌈(224 − 11)/4⌉ outputs: the lecture's "3 zero-padding".
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        below, right = (-(side - self.kernel) % self.stride for side in x.shape[-2:])
        return F.pad(x, (0, right, 0, below))

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class AlexNet(nn.Module):
    """Five convolutions and three dense layers; 60,965,224 parameters for 224×224×3 and 1000 classes.

    ``groups=2`` is the two-GPU network (conv2, conv4 and conv5 see the maps of their own GPU only),
    ``groups=1`` the network whose weights the lecture counts. ``dropout`` goes before fc6's and fc7's
    successors, as in §4.2. fc6 is sized to the input, which can be any square of 63 pixels and more.

    ``init="paper"`` also sets the biases of conv2, conv4, conv5, fc6 and fc7 to one (§5); any other start
    has zero biases.

    (B, C, H, W) with H = W ≥ 63 → (B, classes).
    """

    min_size = 63

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        groups: int = 2,
        lrn: bool = True,
        activation: str = "relu",
        dropout: float = 0.5,
        init: str = "paper",
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        if height != width or height < self.min_size:
            raise InputError(f"AlexNet needs square images of at least {self.min_size} pixels, not {height}×{width}.")
        if groups not in (1, 2):
            raise InputError(f"model.groups={groups} is not 1 (one tower) or 2 (the two GPUs of 2012).")

        def act() -> nn.Module:
            return activation_named(activation)

        def normalise() -> list[nn.Module]:
            return [LocalResponseNorm()] if lrn else []

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)  # overlapping (§3.4); windows may hang over, as in 2012

        self.conv1 = nn.Sequential(HangOver(11, 4), nn.Conv2d(channels, 96, 11, 4), act(), *normalise(), pool())
        self.conv2 = nn.Sequential(nn.Conv2d(96, 256, 5, padding=2, groups=groups), act(), *normalise(), pool())
        self.conv3 = nn.Sequential(nn.Conv2d(256, 384, 3, padding=1), act())
        self.conv4 = nn.Sequential(nn.Conv2d(384, 384, 3, padding=1, groups=groups), act())
        self.conv5 = nn.Sequential(nn.Conv2d(384, 256, 3, padding=1, groups=groups), act(), pool())
        with torch.no_grad():
            flat = self.features(torch.zeros(1, *image_shape)).numel()
        self.fc6 = nn.Sequential(nn.Flatten(), nn.Linear(flat, 4096), act(), nn.Dropout(dropout))
        self.fc7 = nn.Sequential(nn.Linear(4096, 4096), act(), nn.Dropout(dropout))
        self.fc8 = nn.Linear(4096, classes)

        initialise(self, init)
        if init == "paper":
            for block in (self.conv2, self.conv4, self.conv5, self.fc6, self.fc7):
                for layer in block:
                    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                        nn.init.ones_(layer.bias)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → conv5's pooled maps, (B, 256, 6, 6) for 224 pixels."""
        return self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc8(self.fc7(self.fc6(self.features(x))))
