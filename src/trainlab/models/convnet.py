"""A small three-conv net for 32×32 images: the layers of cuda-convnet's CIFAR-10 example (32-32-64, 5×5).

Krizhevsky et al. 2012 do not publish the four-layer network of their Fig. 1; this one is the usual stand-in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainlab.models.activations import activation as activation_named
from trainlab.models.initial_weights import initialise


class ConvNet(nn.Module):
    """Three times 5×5 convolution and 3×3 pooling of stride 2 (max, average, average), then one dense layer.

    (B, C, H, W) with H = W ≥ 8 → logits (B, classes). The first activation comes after its pooling, as in
    cuda-convnet: of increasing functions the maximum is the same before and after, and there are a quarter as many
    values.
    """

    min_size = 8
    usual_input = ((3, 32, 32), 10)  # image shape and classes, for a layer table without data

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        channels: Sequence[int] = (32, 32, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        assert len(channels) == 3, f"channels={list(channels)} has to be three numbers"
        assert min(channels) >= 1, f"channels={list(channels)} has a layer without maps"
        pools: tuple[Any, ...] = (nn.MaxPool2d, nn.AvgPool2d, nn.AvgPool2d)
        layers: list[nn.Module] = []
        inputs = image_shape[0]
        for outputs, pool in zip(channels, pools, strict=True):
            # Pooling windows that hang over the border count, as in cuda-convnet: 32 → 16 → 8 → 4.
            rest = [activation_named(activation), pool(3, 2, ceil_mode=True)]
            layers += [nn.Conv2d(inputs, outputs, 5, padding=2), *(rest if layers else reversed(rest))]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        with torch.no_grad():
            flat = self.features(torch.zeros(1, *image_shape)).numel()
        dense: list[nn.Module] = [nn.Flatten(), nn.Linear(flat, classes)]
        if dropout > 0:
            dense.insert(1, nn.Dropout(dropout))
        self.classifier = nn.Sequential(*dense)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Float images (B, C, H, W) → logits (B, classes)."""
        maps = self.features(x)
        if maps.requires_grad and maps.is_contiguous(memory_format=torch.channels_last):
            # From the dense layer it comes with the channels first, with which average pooling is six times slower.
            maps.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return self.classifier(maps)
