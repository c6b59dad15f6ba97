"""How the weights start: a choice, because it decides whether a deep network starts to learn at all."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def _paper(weight: Tensor) -> None:
    """N(0, 0.01²): Krizhevsky et al. 2012, §5. Made for ImageNet; small data sets stay at chance for long."""
    nn.init.normal_(weight, std=0.01)


def _kaiming(weight: Tensor) -> None:
    """N(0, 2/fan_in): He et al. 2015, keeps the variance through ReLU layers."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _xavier(weight: Tensor) -> None:
    """U(±√(6/(fan_in + fan_out))): Glorot & Bengio 2010, for tanh and sigmoid."""
    nn.init.xavier_uniform_(weight)


def _torch(weight: Tensor) -> None:
    """U(±1/√fan_in): what torch.nn layers do by themselves."""
    nn.init.kaiming_uniform_(weight, a=5**0.5)


def _zero(weight: Tensor) -> None:
    """All zero: right for a convex problem (one layer) only."""
    nn.init.zeros_(weight)


INITIAL_WEIGHTS: dict[str, Callable[[Tensor], None]] = {
    "paper": _paper,
    "kaiming": _kaiming,
    "xavier": _xavier,
    "torch": _torch,
    "zero": _zero,
}


def initialise(net: nn.Module, name: str) -> None:
    """Give every convolution and dense layer of `net` initial weights by the rule `name`, one of INITIAL_WEIGHTS, and
    biases of zero. Draws from torch's global generator.
    """
    assert name in INITIAL_WEIGHTS, f"init={name} is unknown; use one of {', '.join(INITIAL_WEIGHTS)}"
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            INITIAL_WEIGHTS[name](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
