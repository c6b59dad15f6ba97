"""The step of gradient descent, the lecture's optimizers on top of torch's, and the learning rate's schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from trainlab.errors import InputError
from trainlab.objective import weights_and_biases

NOTHING: AbstractContextManager[None] = nullcontext()


class GradientDescent(torch.optim.SGD):
    """θ ← θ − η ∇J(θ): torch's SGD."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        # Without what torch wraps around it for compiled code, which would import the compiler for 1.5 s.
        return torch.optim.SGD.step.__wrapped__(self, closure)  # type: ignore[attr-defined]


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

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        changed = [group for group in self.param_groups if group["lr"] != group["last_lr"]]
        if not changed:
            return super().step(closure)
        momenta = [group["momentum"] for group in changed]
        for group in changed:
            group["momentum"] *= group["last_lr"] / positive(group["lr"])
        try:
            return super().step(closure)
        finally:
            for group, momentum in zip(changed, momenta, strict=True):
                group["momentum"], group["last_lr"] = momentum, float(group["lr"])


def positive(lr: float) -> float:
    """Raises ValueError for another, as float."""
    if lr <= 0:
        raise ValueError(f"the learning rate fell to {lr}: v = γ v + η ∇J has no form with η = 0 here")
    return float(lr)


def train_step(
    net: Callable[[Tensor], Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Any,
    inputs: Tensor,
    labels: Tensor,
    *,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    timed: Callable[[str], AbstractContextManager[Any]] = lambda part: NOTHING,
) -> tuple[Tensor, Tensor]:
    """One step of gradient descent on J, as the lecture writes it: ŷ = f(x), L(ŷ, y), ∇J, θ ← θ − η∇J.

    inputs: (B, …); labels: int64 (B,). Returns the outputs (B, K) and the loss, both of before the update and without
    gradients. optimizer: a torch optimizer, or what is used like one. backward: what is done with the loss instead of
    its `backward()`. timed: `with timed(part):` stands around "forward", "backward" and "optimizer".
    """
    with timed("forward"):
        outputs = net(inputs)
        value = loss(outputs, labels)
    with timed("backward"):
        optimizer.zero_grad()
        backward(value)
    with timed("optimizer"):
        optimizer.step()
    return outputs.detach(), value.detach()


def make_optimizer(
    net: nn.Module,
    kind: type[GradientDescent] = GradientDescent,
    *,
    lr: float,
    weight_decay: float = 0.0,
    bias_lr: float | None = None,
    **options: Any,
) -> GradientDescent:
    """An optimizer of this kind for every trained parameter of `net`; L2 acts on the weights, not on the biases.

    Whether it is batch gradient descent or SGD is a matter of the batches it is given. The gradient of the penalty,
    `weight_decay`·w, is added inside the step, where it costs nothing. bias_lr: the biases' own learning rate, which
    changes in step with the other. options: the kind's own, such as `momentum`.
    """
    weights, biases = weights_and_biases(net)
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0, "lr": bias_lr or lr},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in net.parameters())
    return kind(groups, lr=lr, fused=fused, **options)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate η changes over a run.

    constant: never. cosine: half a cosine from η towards 0, which it does not reach, updated after each step.
    plateau: ÷ 10 when the watched error has not improved for `patience` epochs (Krizhevsky et al. 2012, §5, who did it
    by hand); after `drops` of them the next stall ends the run.
    """

    name: str = "constant"
    patience: int = 5
    drops: int | None = None

    def of(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | ReduceLROnPlateau | None:
        """torch's scheduler for a run of `steps` updates; None for a constant rate. Raises InputError."""
        if self.name == "constant":
            return None
        if self.name == "cosine":
            return LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, steps - 1) / steps)))
        if self.name == "plateau":
            return ReduceLROnPlateau(optimizer, factor=0.1, patience=self.patience)
        raise InputError(f"optim.schedule={self.name} is unknown; use constant, cosine or plateau.")


CONSTANT = Schedule()
