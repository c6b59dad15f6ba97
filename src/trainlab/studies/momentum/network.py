"""Gradient descent and momentum on a multi-layer perceptron of this repository: the loss, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.models.mlp import MLP
from trainlab.objective import CrossEntropy
from trainlab.optim import GradientDescent, Momentum, make_optimizer, train_step
from trainlab.runtime.hardware import torch_threads
from trainlab.studies.digits import digits_as_seen

GAMMA = 0.9  # this repository's, and that of Krizhevsky et al. 2012, §5
HIDDEN = (64, 64)
SEEDS = 3
SAME_STEPS = 100  # over which torch's own momentum has to give the same weights


@dataclass(frozen=True)
class Setup:
    """How a network is trained. batch: examples in a step; None: all of them."""

    batch: int | None
    eta: float
    epochs: int


FULL = Setup(None, 0.4, 100)
BATCHES = Setup(32, 0.01, 12)


@dataclass(frozen=True)
class Curves:
    """The training with one γ and η, from several seeds. losses: float64 (SEEDS, epochs + 1), the mean cross-entropy of
    the training set before each epoch and at the end, in nats.
    """

    setup: Setup
    gamma: float
    eta: float
    losses: np.ndarray


def measure_network(seed: int, on_run: Callable[[], None] = lambda: None) -> tuple[list[Curves], float]:
    """Curves of η without and with γ, and of η/(1 − γ) without, in one batch and in batches; and how far the weights
    are from those of torch.optim.SGD with the same momentum."""
    examples = digits_as_seen()
    images, labels = examples.inputs, examples.labels
    curves = []
    with torch_threads(1):  # networks this small are slower on several
        for setup in (FULL, BATCHES):
            for gamma, eta in ((0.0, setup.eta), (GAMMA, setup.eta), (0.0, setup.eta / (1 - GAMMA))):
                losses = [train(images, labels, setup, gamma, eta, seed + i) for i in range(SEEDS)]
                curves.append(Curves(setup, gamma, eta, np.array(losses)))
                on_run()
        apart = apart_from_torch(images, labels, seed)
    return curves, apart


def train(images: Tensor, labels: Tensor, setup: Setup, gamma: float, eta: float, seed: int) -> list[float]:
    """The losses of one network, before each epoch and at the end; its weights and the order of its examples follow
    from `seed`, whatever γ and η.
    """
    net, loss = mlp(seed), CrossEntropy()
    kind, options = (Momentum, {"momentum": gamma}) if gamma else (GradientDescent, {})
    optimizer = make_optimizer(net, kind, lr=eta, **options)
    order = torch.Generator().manual_seed(seed)
    losses = []
    for epoch in range(setup.epochs + 1):
        with torch.no_grad():
            losses.append(float(loss(net(images), labels)))
        if epoch == setup.epochs:
            break
        for batch in torch.randperm(len(images), generator=order).split(setup.batch or len(images)):
            train_step(net, loss, optimizer, images[batch], labels[batch])
    return losses


def mlp(seed: int) -> MLP:
    """A new network of the study, with weights by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MLP((1, 8, 8), 10, hidden=HIDDEN)


def apart_from_torch(images: Tensor, labels: Tensor, seed: int) -> float:
    """The largest difference of a weight after training with torch.optim.SGD instead, in float64 and with a constant η:
    torch keeps v/η, which is then the same.
    """
    ends = []
    for kind in (Momentum, torch.optim.SGD):
        net, loss = mlp(seed).double(), torch.nn.functional.cross_entropy
        optimizer = kind(net.parameters(), lr=FULL.eta / 4, momentum=GAMMA)
        for _ in range(SAME_STEPS):
            train_step(net, loss, optimizer, images.double(), labels)
        ends.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    return float((ends[0] - ends[1]).abs().max())
