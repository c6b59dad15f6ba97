"""What a batch size costs: steps, examples and seconds until a network has come down to a given loss."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.data.batches import GlobalBatchSampler
from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.objective import CrossEntropy
from trainlab.optim import GradientDescent, make_optimizer, train_step

FIRST_ETA = 0.1
MOST_STEPS = 20_000  # of a descent that does not come down
WORSE = 2.0  # times the steps of the best η so far: not worth going on
LOOK_AFTER = 64  # examples; the loss of all is looked at after so many, or after each larger batch


@dataclass(frozen=True)
class Task:
    """What is trained. inputs: float32 (N, …); labels: int64 (N,). hidden: widths of the MLP. target: the mean loss of
    all N examples to come down to, in nats.
    """

    inputs: Tensor
    labels: Tensor
    classes: int
    hidden: Sequence[int]
    target: float

    def network(self, seed: int) -> MLP:
        """A new MLP with weights by `seed`. torch's streams of random numbers are afterwards as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MLP(tuple(self.inputs.shape[1:]), self.classes, hidden=self.hidden)


@dataclass(frozen=True)
class Descent:
    """One run of SGD.

    curve: float64 (T, 3): examples seen, seconds of processor time, loss of all examples in nats. steps: until the
    target, or None where it was not reached. weights: at the end.
    """

    curve: np.ndarray
    steps: int | None
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Cost:
    """What one batch size costs with its best η. descents: one for each seed, all of which reached the target."""

    batch_size: int
    eta: float
    descents: list[Descent]

    @property
    def steps(self) -> np.ndarray:
        """Steps to the target of each run."""
        return np.array([d.steps for d in self.descents], dtype=float)

    @property
    def seconds(self) -> np.ndarray:
        """Seconds of processor time to the target of each run."""
        return np.array([d.curve[-1, 1] for d in self.descents])


def cost_of(task: Task, batch_size: int, first_eta: float, seeds: Sequence[int]) -> Cost:
    """The cost of a batch size with the η of first_eta · 2^k that takes the fewest steps on average.

    It is looked for from first_eta on, upwards or downwards. Raises InputError where none reaches the target.
    """
    tried: dict[float, list[Descent]] = {}

    def steps(eta: float) -> float:
        if eta not in tried:
            most = min([MOST_STEPS, *(WORSE * mean_steps(runs) for runs in tried.values())])
            tried[eta] = []
            for seed in seeds:
                tried[eta].append(descend(task, batch_size, eta, seed, int(most)))
                if tried[eta][-1].steps is None:
                    break
        return mean_steps(tried[eta])

    best = first_eta
    while not np.isfinite(steps(best)) and best > first_eta / 100:
        best /= 2  # it diverges, or is too lively to come to rest
    if not np.isfinite(steps(best)):
        raise InputError(
            f"target={task.target:g} is not reached with batches of {batch_size} within {MOST_STEPS:,} steps; "
            "use a greater one, or wider layers."
        )
    for factor in (2.0, 0.5):
        while steps(best * factor) < steps(best):
            best *= factor
    return Cost(batch_size, best, tried[best])


def mean_steps(runs: Sequence[Descent]) -> float:
    """The mean number of steps to the target; infinite where a run did not reach it."""
    return float(np.mean([np.inf if run.steps is None else run.steps for run in runs]))


def descend(task: Task, batch_size: int, eta: float, seed: int, most_steps: int) -> Descent:
    """SGD with a constant η on shuffled epochs, until the loss of all examples is at most the target."""
    net, loss = task.network(seed), CrossEntropy()
    optimizer = make_optimizer(net, GradientDescent, lr=eta)
    batches = GlobalBatchSampler(len(task.labels), batch_size, seed=seed, shuffle=True)
    look_after = max(1, LOOK_AFTER // batch_size)
    curve = [(0.0, 0.0, loss_of_all(net, task))]
    steps = examples = epoch = 0
    seconds, started = 0.0, time.thread_time()
    while steps < most_steps:
        batches.set_epoch(epoch)
        for part in batches:
            train_step(net, loss, optimizer, task.inputs[part.samples], task.labels[part.samples])
            steps, examples = steps + 1, examples + len(part.samples)
            if steps % look_after:
                continue
            seconds += time.thread_time() - started
            curve.append((examples, seconds, loss_of_all(net, task)))
            reached = curve[-1][2] <= task.target
            if reached or steps >= most_steps or not curve[-1][2] < 100:
                return Descent(np.array(curve), steps if reached else None, net.state_dict())
            started = time.thread_time()
        epoch += 1
    return Descent(np.array(curve), None, net.state_dict())


@torch.no_grad()
def loss_of_all(net: MLP, task: Task) -> float:
    """The mean loss of all examples, in nats."""
    return float(CrossEntropy()(net(task.inputs), task.labels))


def least_steps_and_examples(costs: Sequence[Cost]) -> tuple[float, float]:
    """S_min and E_min of B·steps = E_min + S_min·B (McCandlish et al. 2018, §2), by least squares of the
    relative differences; both at least 0. Their quotient E_min/S_min is the critical batch size.
    """
    sizes = np.array([cost.batch_size for cost in costs], dtype=float)
    examples = np.array([cost.batch_size * cost.steps.mean() for cost in costs])
    design = np.stack([sizes, np.ones_like(sizes)], axis=1) / examples[:, None]
    steps, least = np.linalg.lstsq(design, np.ones_like(sizes), rcond=None)[0]
    return max(float(steps), 0.0), max(float(least), 0.0)
