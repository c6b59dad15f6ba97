"""The step of gradient descent for every member of a stack at once, as the lecture writes it: v ← γv + η∇J, θ ← θ − v.

J = Σ_k J_k, the sum over the members of each one's mean loss and L2, so that no member's gradient depends on how many
there are. η, γ and λ are tensors (K, 1, 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainlab.models.stacked import Buffers, StackedNet
from trainlab.objective import L2, CrossEntropy, HalfMSE, Loss
from trainlab.optim import Schedule, cosine

IN_CACHE = 2**17  # float32 values of one matrix that are updated at a time: half a MiB


@dataclass(frozen=True)
class Rule:
    """How one member descends. lr, bias_lr: η of the weights and of the biases. momentum: γ, 0 for plain descent.
    weight_decay: c of c/2 ‖W‖² beside the mean loss. schedule: of η. remembers: whether its optimizer has velocities.
    """

    lr: float
    bias_lr: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    remembers: bool


def rule_of(optim: DictConfig, l2: L2) -> Rule:
    """The rule that the group `optim` of a configuration asks for."""
    schedule = Schedule(optim.schedule, optim.get("plateau_patience", 5), optim.get("plateau_drops"))
    lr, momentum = float(optim.lr), optim.get("momentum")
    bias_lr = float(optim.get("bias_lr") or lr)
    return Rule(lr, bias_lr, float(momentum or 0), l2.weight_decay, schedule, momentum is not None)


class Rates:
    """The learning rates of K members over a run of `steps` updates each.

    base: η of the weights and of the biases but for the cosine, float64 (2, K). plateaus: torch's own scheduler for
    each member that has one.
    """

    def __init__(self, rules: Sequence[Rule], steps: int) -> None:
        self.rules, self.steps = rules, steps
        self.base = np.array([[rule.lr for rule in rules], [rule.bias_lr for rule in rules]])
        self.cosine = np.array([rule.schedule.name == "cosine" for rule in rules])
        self.plateaus = [plateau(rule) for rule in rules]

    def now(self, step: int) -> np.ndarray:
        """η of each member's weights after so many updates, float64 (K,)."""
        return self.base[0] * np.where(self.cosine, cosine(step, self.steps), 1.0)

    def over(self, first: int, count: int) -> np.ndarray:
        """η of each of `count` updates from update number `first` on, float64 (count, K)."""
        return np.stack([self.now(step) for step in range(first, first + count)])

    def step_plateau(self, member: int, error: float) -> bool:
        """Tell a member's plateau its error; returns whether it has had all its drops."""
        scheduler, drops = self.plateaus[member], self.rules[member].schedule.drops
        if scheduler is None:
            return False
        scheduler.step(error)
        self.base[:, member] = [group["lr"] for group in scheduler.optimizer.param_groups]
        return drops is not None and round(math.log10(self.rules[member].lr / self.base[0, member])) > drops

    def restore(self, member: int, state: dict[str, Any] | None) -> None:
        """Go on with a plateau's state, as `facts` of a snapshot has it."""
        scheduler = self.plateaus[member]
        if scheduler is None or state is None:
            return
        scheduler.load_state_dict(state)
        self.base[:, member] = state["_last_lr"]
        for group, lr in zip(scheduler.optimizer.param_groups, state["_last_lr"], strict=True):
            group["lr"] = lr


def plateau(rule: Rule) -> ReduceLROnPlateau | None:
    """torch's scheduler on an optimizer that only holds the rates."""
    if rule.schedule.name != "plateau":
        return None
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in (rule.lr, rule.bias_lr)]
    scheduler = rule.schedule.of(torch.optim.SGD(groups, lr=rule.lr), 0)
    assert isinstance(scheduler, ReduceLROnPlateau)
    return scheduler


class StackedLoss(ABC):
    """A loss of K networks at once: outputs (…, K, classes, b), targets the same, one-hot."""

    @abstractmethod
    def gradient(self, outputs: Tensor, targets: Tensor, saved: Tensor, gradient: Tensor) -> None:
        """b times the gradient of each network's mean loss, into `gradient`. saved: gets what `each` needs later."""

    @abstractmethod
    def each(self, saved: Tensor, labels: Tensor) -> Tensor:
        """The loss of every example, float (…, K, b). labels: int64 (…, K, b)."""

    @abstractmethod
    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The same from the outputs themselves."""


class StackedCrossEntropy(StackedLoss):
    """Of `objective.CrossEntropy`."""

    def gradient(self, outputs: Tensor, targets: Tensor, saved: Tensor, gradient: Tensor) -> None:
        """See `StackedLoss.gradient`."""
        torch._log_softmax(outputs, -2, False, out=saved)
        torch.exp(saved, out=gradient)
        subtract(gradient, targets)

    def each(self, saved: Tensor, labels: Tensor) -> Tensor:
        """See `StackedLoss.each`."""
        return -saved.gather(-2, labels.unsqueeze(-2)).squeeze(-2)

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """See `StackedLoss.of_outputs`."""
        return self.each(outputs.log_softmax(-2), labels)


class StackedHalfMSE(StackedLoss):
    """Of `objective.HalfMSE`."""

    def gradient(self, outputs: Tensor, targets: Tensor, saved: Tensor, gradient: Tensor) -> None:
        """See `StackedLoss.gradient`."""
        gradient.copy_(outputs)
        subtract(gradient, targets)
        saved.copy_(gradient)

    def each(self, saved: Tensor, labels: Tensor) -> Tensor:
        """See `StackedLoss.each`."""
        return 0.5 * saved.square().sum(-2)

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """See `StackedLoss.of_outputs`."""
        difference = outputs.clone()
        right = labels.unsqueeze(-2)
        return self.each(difference.scatter_add_(-2, right, -torch.ones_like(right, dtype=outputs.dtype)), labels)


def subtract(values: Tensor, shared: Tensor) -> None:
    """values − shared in place; shared: (groups, classes, b), for equally many members each, or (K, classes, b)."""
    values.view(len(shared), -1, *values.shape[1:]).sub_(shared[:, None])


STACKED: dict[type[Loss], type[StackedLoss]] = {CrossEntropy: StackedCrossEntropy, HalfMSE: StackedHalfMSE}


class Descent:
    """The state of K members' descent: their network, and their velocities.

    velocity: v of each layer's weights, (K, out, in). bias_velocity: v of all biases, as `StackedNet.bias`. gradient,
    bias_gradient: η∇L, of the same shapes. Nothing is computed otherwise where members have the same η, γ or λ, so that
    a member's numbers do not depend on the others'.
    """

    def __init__(self, net: StackedNet, rules: Sequence[Rule], loss: Loss) -> None:
        self.net, self.rules, self.loss = net, rules, STACKED[type(loss)]()
        self.velocity = [torch.zeros_like(weight) for weight in net.weights]
        self.gradient = [torch.zeros_like(weight) for weight in net.weights]
        self.bias_velocity, self.bias_gradient = torch.zeros_like(net.bias), torch.zeros_like(net.bias)
        self.by_layer = net.by_layer(self.bias_gradient)
        gamma = self.column([rule.momentum for rule in rules])
        self.bias_gamma, self.bias_ratio = self.flat(gamma), torch.ones_like(net.bias)
        self.pieces = list(self.cut(gamma))

    def cut(self, gamma: Tensor) -> Iterator[Piece]:
        """As many members at a time as stay in the cache while they are updated."""
        for weight, velocity, gradient in zip(self.net.weights, self.velocity, self.gradient, strict=True):
            some = max(1, IN_CACHE // weight[0].numel())
            for begin in range(0, len(weight), some):
                part = slice(begin, begin + some)
                yield Piece(part, weight[part], velocity[part], gradient[part], gamma[part])

    def column(self, values: Sequence[float] | np.ndarray) -> Tensor:
        """A value of each member as (K, 1, 1)."""
        return torch.tensor(values, dtype=self.net.bias.dtype, device=self.net.device)[:, None, None]

    def flat(self, column: Tensor) -> Tensor:
        """A value of each member, (K, 1, 1), for each of its biases, as they lie in `StackedNet.bias`."""
        return torch.cat([column.expand_as(bias).flatten() for bias in self.net.biases])

    def set_bias_ratio(self, ratios: np.ndarray) -> None:
        """How many times the weights' η that of the biases is, of each member, (K,)."""
        self.bias_ratio = self.flat(self.column(ratios))

    def factors(self, rates: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """η, and ηλ unless all λ are 0, of the updates with these rates: float64 (steps, K) → (steps, K, 1, 1)."""
        decay = np.array([rule.weight_decay for rule in self.rules])
        eta, by = (
            torch.from_numpy(values).to(self.net.device, self.net.bias.dtype)[:, :, None, None]
            for values in (rates, rates * decay)
        )
        return eta, by if decay.any() else None

    def step(
        self, inputs: Tensor, targets: Tensor, eta: Tensor, decay: Tensor | None, buffers: Buffers, saved: Tensor
    ) -> None:
        """One update of all members. inputs: (groups, b, features); targets: one-hot (groups, classes, b), or for each
        member; eta, decay: η and ηλ, (K, 1, 1). The outputs are then in `buffers`, and in `saved` what the loss saves.
        """
        outputs = self.net.forward(inputs, buffers)
        gradient = buffers.gradients[-1]
        self.loss.gradient(outputs, targets, saved, gradient)
        gradient.mul_(eta / inputs.shape[1])  # the backward pass is linear: from here on it is η∇J
        self.net.backward(buffers, partial(self.collect, inputs))
        self.update(decay)

    def collect(self, inputs: Tensor, layer: int, gradient: Tensor, given: Tensor | None) -> None:
        """η∇L of one layer's weights and biases."""
        torch.sum(gradient, -1, keepdim=True, out=self.by_layer[layer])
        if given is None:
            self.net.first_gradient(gradient, inputs, self.gradient[layer])
        else:
            torch.bmm(gradient, given.mT, out=self.gradient[layer])

    def update(self, decay: Tensor | None) -> None:
        """v ← γv + η∇J, θ ← θ − v."""
        self.bias_velocity.mul_(self.bias_gamma).addcmul_(self.bias_gradient, self.bias_ratio)
        self.net.bias.sub_(self.bias_velocity)
        for members, weight, velocity, gradient, gamma in self.pieces:
            velocity.mul_(gamma).add_(gradient)
            if decay is not None:
                velocity.addcmul_(weight, decay[members])
            weight.sub_(velocity)


class Piece(NamedTuple):
    """Some members' part of one layer: their indices, W, v, η∇L and γ."""

    members: slice
    weight: Tensor
    velocity: Tensor
    gradient: Tensor
    gamma: Tensor
