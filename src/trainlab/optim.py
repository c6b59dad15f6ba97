"""The lecture's optimisers, on top of torch's fused ones, and how the step size changes during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from trainlab.errors import InputError
from trainlab.objective import weights_and_biases


class GradientDescent(torch.optim.SGD):
    """θ ← θ − η ∇J(θ), torch's own, in a form that can also be captured in a CUDA graph."""

    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, update: Callable[[], Any] | None = None
    ) -> float | None:
        """update: a replay that does the step; else it is done here, from the gradients as they are."""
        if update is None:
            # Without what torch wraps around it for compiled code, which would import the compiler for 1.5 s.
            with torch.no_grad():
                return torch.optim.SGD.step.__wrapped__(self, closure)  # type: ignore[attr-defined]
        if closure is not None:
            closure()
        update()
        return None

    def rates_and_ratios(self) -> list[tuple[float, float]]:
        """Of each group η, and η of the step before as a multiple of it. To be asked once in each captured step."""
        return [(float(group["lr"]), 1.0) for group in self.param_groups]

    def step_from_memory(self, rates: list[Tensor], ratios: list[Tensor]) -> None:
        """A step with η and its ratio, for each group, read from memory (float32 scalars) and not from Python."""
        known = [group["lr"] for group in self.param_groups]
        try:
            for group, rate, ratio in zip(self.param_groups, rates, ratios, strict=True):
                group["lr"] = rate
                states = [self.state[p] for p in group["params"] if p in self.state and p.grad is not None]
                buffers = [state["momentum_buffer"] for state in states if "momentum_buffer" in state]
                if buffers:
                    torch._foreach_mul_(buffers, ratio)
            torch.optim.SGD.step(self)
        finally:
            for group, rate in zip(self.param_groups, known, strict=True):
                group["lr"] = rate


class Momentum(GradientDescent):
    """v ← γ v + η ∇J(θ), θ ← θ − v (lecture: "Momentum permite aminorar riesgo"; Krizhevsky et al. 2012, §5).

    torch keeps b = v/η and updates b ← γ b + ∇J, θ ← θ − η b. While η stays the same this is the same thing;
    when η changes, torch's v jumps by the ratio. So in the first step with a new η, γ η_old/η_new stands for γ, and
    nothing else is changed: the step itself is torch's, fused where it can be.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, **kwargs)
        for group in self.param_groups:
            group["last_lr"] = group["lr"]

    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, update: Callable[[], Any] | None = None
    ) -> float | None:
        changed = [group for group in self.param_groups if group["lr"] != group["last_lr"]]
        if not changed or update is not None:
            return super().step(closure, update)
        momenta = [group["momentum"] for group in changed]
        for group in changed:
            group["momentum"] *= group["last_lr"] / positive(group["lr"])
        try:
            return super().step(closure)
        finally:
            for group, momentum in zip(changed, momenta, strict=True):
                group["momentum"], group["last_lr"] = momentum, float(group["lr"])

    def rates_and_ratios(self) -> list[tuple[float, float]]:
        found = [(float(group["lr"]), group["last_lr"] / positive(group["lr"])) for group in self.param_groups]
        for group, (rate, _) in zip(self.param_groups, found, strict=True):
            group["last_lr"] = rate
        return found


def positive(lr: float) -> float:
    """Raises ValueError for another, as float."""
    if lr <= 0:
        raise ValueError(f"the learning rate fell to {lr}: v = γ v + η ∇J has no form with η = 0 here")
    return float(lr)


def optimiser(
    net: nn.Module,
    *,
    lr: float,
    momentum: float | None = None,
    l2_coefficient: float = 0.0,
    bias_lr: float | None = None,
) -> GradientDescent:
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
        return GradientDescent(groups, lr=lr, fused=fused)
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
