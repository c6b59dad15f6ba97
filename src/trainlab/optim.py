"""The step of gradient descent, the lecture's optimizers, and the schedule of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from trainlab.objective import weights_and_biases

NOTHING: AbstractContextManager[None] = nullcontext()


class GradientDescent(torch.optim.SGD):
    """θ ← θ − η ∇J(θ): torch.optim.SGD with its options, fused (one kernel for all parameters) where it can be."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        each = [p for group in self.param_groups for p in group["params"]]
        fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in each)
        for group in (self.defaults, *self.param_groups):
            group["fused"] = fused

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters by their `.grad`. closure: recomputes the loss, which is then returned, as in
        torch.
        """
        # Without what torch wraps around it for compiled code, which would import the compiler for 1.8 s of CPU time.
        return torch.optim.SGD.step.__wrapped__(self, closure)  # type: ignore[attr-defined]


class Momentum(GradientDescent):
    """v ← γ v + η ∇J(θ), θ ← θ − v (lecture: "Momentum permite aminorar riesgo"; Krizhevsky et al. 2012, §5).

    torch's SGD keeps v/η instead, so that a change of η changes the speed at once; here a new η only changes what is
    added to the speed. params: parameters or groups of them. lr: η. momentum: γ. weight_decay: c in ∇J + c·θ. The
    velocities are in the optimizer's state, under each parameter's "velocity".
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters by their `.grad`. closure: recomputes the loss, which is then returned, as in
        torch.
        """
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
            velocities = [self.velocity(p) for p in weights]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, gradients, alpha=float(group["lr"]))
            torch._foreach_sub_(weights, velocities)
        return value

    def velocity(self, parameter: Tensor) -> Tensor:
        """v of one parameter, of its shape; zeros before the first step."""
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state["velocity"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state. Runs made before 2026-12 saved v/η and the η that it was divided by: these are
        converted.
        """
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            last_lr = group.pop("last_lr", group["lr"])
            for state in (self.state[p] for p in group["params"] if p in self.state):
                if state.get("momentum_buffer") is not None:
                    state["velocity"] = state.pop("momentum_buffer") * last_lr


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

    inputs: (B, …); labels: int64 (B,). Returns the outputs (B, K) and the loss, both from before the update and
    detached. optimizer: a torch optimizer, or what has its `zero_grad` and `step`. backward: called with the loss, in
    place of its `backward()`. timed: a context manager for each part of the step, called with "forward", "backward"
    and "optimizer".
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
    kind: Callable[..., torch.optim.Optimizer] = GradientDescent,
    *,
    lr: float,
    weight_decay: float = 0.0,
    bias_lr: float | None = None,
    **options: Any,
) -> torch.optim.Optimizer:
    """An optimizer for every trained parameter of `net`, with L2 on the weights and not on the biases.

    kind: a torch optimizer, or what makes one from `params` and `lr`. Its step must add `weight_decay`·w to the
    gradient, as torch's do: that is the gradient of the penalty, at no cost of its own. Whether this is batch gradient
    descent or SGD is a matter of the batches. bias_lr: the biases' own learning rate, which a schedule changes in
    proportion. options: further arguments of `kind`, such as `momentum`.
    """
    weights, biases = weights_and_biases(net)
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0, "lr": bias_lr or lr},
    ]
    return kind(params=groups, lr=lr, **options)


def numbers_per_weight(kind: Callable[..., torch.optim.Optimizer]) -> int:
    """How many numbers the optimizer keeps for each weight, found by a step on one: 1 for momentum, 2 for Adam."""
    weight = nn.Parameter(torch.zeros(1, 1))
    weight.grad = torch.zeros_like(weight)
    optimizer = kind(params=[weight], lr=1.0)
    optimizer.step()
    return sum(torch.is_tensor(value) and value.shape == weight.shape for value in optimizer.state[weight].values())


def cosine(step: int, steps: int) -> float:
    """What the schedule "cosine" makes of η, as a factor, after `step` of a run's `steps` updates."""
    return 0.5 * (1 + math.cos(math.pi * min(step, steps - 1) / steps))


@dataclass(frozen=True)
class Schedule:
    """How the learning rate η changes over a run.

    name: constant: never. cosine: half a cosine from η towards 0, which it does not reach, updated after each step.
    plateau: η ÷ 10 when the watched error has not improved for `patience` epochs (Krizhevsky et al. 2012, §5, who did
    it by hand). drops: after this many divisions the next plateau ends the run; None: it does not.
    """

    name: str = "constant"
    patience: int = 5
    drops: int | None = None

    def of(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | ReduceLROnPlateau | None:
        """torch's scheduler for a run of `steps` updates, to be stepped after each update (cosine) or each epoch
        (plateau); None for a constant rate.
        """
        if self.name == "constant":
            return None
        if self.name == "cosine":
            return LambdaLR(optimizer, lambda step: cosine(step, steps))
        assert self.name == "plateau", f"schedule={self.name} is unknown; use constant, cosine or plateau"
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=self.patience)


CONSTANT = Schedule()
