"""The layer table: kernel, stride, output, weights, neurons and connections of each layer, by running the net once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainlab.models.response_normalisation import SpatialResponseNorm


@dataclass(frozen=True)
class LayerSummary:
    """One convolution or dense layer, counted as the lecture counts AlexNet's: sizes, weights, biases, neurons and
    connections (multiplications for one image).
    """

    name: str
    kernel: str
    stride: int
    output: tuple[int, ...]  # (C, H, W) or (F,)
    weights: int  # without biases, as in the lecture
    biases: int
    connections: int  # multiplications for one image
    groups: int
    receptive_field: int | None  # pixels of the input along a side that a neuron depends on; None: all of it

    @property
    def ungrouped(self) -> int:
        """Weights that it would have with one group: the lecture's counts."""
        return self.weights * self.groups

    @property
    def neurons(self) -> int:
        """How many output values the layer has for one image."""
        return torch.Size(self.output).numel()


def summarize(net: nn.Module, input_shape: tuple[int, ...]) -> list[LayerSummary]:
    """Every layer with weights, in the order of use. input_shape: of one example. `net` is run once on zeros, in its
    own mode and dtype.
    """
    rows: list[LayerSummary] = []
    names = _short_names(net)
    pools = nn.MaxPool2d | nn.AvgPool2d
    windows = [m for m in net.modules() if isinstance(m, pools | SpatialResponseNorm)]
    field, step = 1, 1  # of what comes next: pixels that a neuron depends on, pixels between two neighbours

    def widen(size: int, stride: int) -> None:
        nonlocal field, step
        field, step = field + (size - 1) * step, step * stride

    def pass_window(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, SpatialResponseNorm):
            widen(module.size, 1)
        else:
            assert isinstance(module, pools)
            widen(int(module.kernel_size), int(module.stride))  # type: ignore[arg-type]

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        if isinstance(module, nn.Conv2d):
            widen(module.kernel_size[0], module.stride[0])
        receptive_field = min(field, max(input_shape[1:])) if isinstance(module, nn.Conv2d) else None
        rows.append(_row(module, names[module], tuple(output.shape[1:]), receptive_field))

    hooks = [module.register_forward_hook(record) for module in names]
    hooks += [module.register_forward_hook(pass_window) for module in windows]
    training = net.training
    try:
        parameter = next(net.parameters())
        with torch.no_grad():
            net.eval()(torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return rows


def _short_names(net: nn.Module) -> dict[nn.Module, str]:
    """Of the layers with weights: conv1.1 is conv1 where its block holds no other."""
    names = {m: name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    blocks = Counter(name.rpartition(".")[0] for name in names.values())
    return {m: block if blocks[block := name.rpartition(".")[0]] == 1 and block else name for m, name in names.items()}


def _row(
    module: nn.Conv2d | nn.Linear, name: str, output: tuple[int, ...], receptive_field: int | None
) -> LayerSummary:
    if isinstance(module, nn.Conv2d):
        size, groups = module.kernel_size, module.groups
        kernel = f"{module.out_channels} × {size[0]}×{size[1]}×{module.in_channels // groups}"
        kernel += f", {groups} groups" if groups > 1 else ""
        connections, stride = module.weight.numel() * output[1] * output[2], module.stride[0]
    else:
        kernel, groups = f"{module.in_features} → {module.out_features}", 1
        connections, stride = module.weight.numel(), 1
    biases = 0 if module.bias is None else module.bias.numel()
    return LayerSummary(
        name, kernel, stride, output, module.weight.numel(), biases, connections, groups, receptive_field
    )


TRAINING = 6  # operations for each multiplication of a forward pass: times and plus, forward and twice backward


def training_operations(layers: Sequence[LayerSummary]) -> int:
    """How many multiplications and additions one image takes, forward and backward."""
    return TRAINING * sum(layer.connections for layer in layers)
