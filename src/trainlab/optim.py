"""The lecture's optimisers, on top of torch's fused ones, and how the step size changes during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from trainlab.errors import InputError
from trainlab.objective import weights_and_biases


class Momentum(torch.optim.SGD):
    """v ← γ v + η ∇J(θ), θ ← θ − v (lecture: "Momentum permite aminorar riesgo"; Krizhevsky et al. 2012, §5).

    torch keeps b = v/η and updates b ← γ b + ∇J, θ ← θ − η b. While η stays the same this is the same thing;
    when η changes, torch's v jumps by the ratio. So in the first step with a new η, γ η_old/η_new stands for γ, and
    nothing else is changed: the step itself is torch's, fused where it can be.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, **kwargs)
        for group in self.param_groups:
            group["last_lr"] = group["lr"]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        changed = [group for group in self.param_groups if group["lr"] != group["last_lr"]]
        if not changed:
            return super().step(closure)
        momenta = [group["momentum"] for group in changed]
        for group in changed:
            lr = float(group["lr"])
            if lr <= 0:
                raise ValueError(f"the learning rate fell to {lr}: v = γ v + η ∇J has no form with η = 0 here")
            group["momentum"] *= group["last_lr"] / lr
        try:
            return super().step(closure)
        finally:
            for group, momentum in zip(changed, momenta, strict=True):
                group["momentum"], group["last_lr"] = momentum, float(group["lr"])


def optimiser(
    net: nn.Module,
    *,
    lr: float,
    momentum: float | None = None,
    l2_coefficient: float = 0.0,
    bias_lr: float | None = None,
) -> torch.optim.SGD:
    """Gradient descent for every trained parameter of `net`; L2 acts on the weights, not on the biases.

    Whether this is batch gradient descent or SGD is a matter of the batches it is given. The gradient of the
    penalty, `l2_coefficient`·w, is added inside the step, where it costs nothing. bias_lr: the biases' own learning
    rate, which changes in step with the other.
    """
    weights, biases = weights_and_biases(net)
    groups = [
        {"params": weights, "weight_decay": l2_coefficient},
        {"params": biases, "weight_decay": 0.0, "lr": bias_lr or lr},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in net.parameters())
    if momentum is None:
        return torch.optim.SGD(groups, lr=lr, fused=fused)
    return Momentum(groups, lr=lr, momentum=momentum, fused=fused)


def schedule(
    name: str, optimizer: torch.optim.Optimizer, steps: int, patience: int = 5
) -> LRScheduler | ReduceLROnPlateau | None:
    """How η changes over a run of `steps` updates.

    constant: never. cosine: half a cosine from η towards 0, which it does not reach, updated after each step.
    plateau: ÷10 when the validation error has not improved for `patience` epochs (Krizhevsky et al. 2012, §5, who
    did it by hand).
    """
    if name == "constant":
        return None
    if name == "cosine":
        return LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, steps - 1) / steps)))
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=patience)
    raise InputError(f"optim.schedule={name} is unknown; use constant, cosine or plateau.")
