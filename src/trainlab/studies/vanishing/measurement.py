"""The gradient in each layer of real networks, on digits, before training and after an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.data.sources import digits
from trainlab.models.initial_weights import INITIAL_WEIGHTS
from trainlab.models.mlp import MLP
from trainlab.objective import CrossEntropy
from trainlab.optim import GradientDescent, make_optimizer, train_step
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.vanishing.recursions import layer_by_layer

ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITS = tuple(INITIAL_WEIGHTS)
BATCH = 32
CLASSES = 10


@dataclass(frozen=True)
class Data:
    """The handwritten digits. inputs, test_inputs: pixels in [0, 1] less the mean of the training set, float32 (N, 64);
    labels, test_labels: int64 (N,).
    """

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Cell:
    """Networks of one activation, initialisation and depth, each from a seed of its own.

    before, after: ‖∂J/∂W_l‖ in each layer, of the mean cross-entropy of the training set, (networks, depth).
    per_layer: the factor by which a layer shrinks the gradient on its way back, before training: the geometric mean
    over the hidden layers of ‖∂J/∂x_{l−1}‖ / ‖∂J/∂x_l‖; NaN where there is no gradient, or one hidden layer only.
    accuracy: on the test set, after the epoch.
    """

    before: np.ndarray
    after: np.ndarray
    per_layer: np.ndarray
    accuracy: np.ndarray


Cells = dict[tuple[str, str, int], Cell]  # by activation, initialisation, depth


def measure(
    depths: Sequence[int], width: int, networks: int, lr: float, seed: int, on_progress: Progress = no_progress
) -> Cells:
    """Every activation × initialisation × depth. seed: of the first network; the next have the numbers after it."""
    data = load_digits()
    cells: Cells = {}
    keys = [(a, i, d) for a in ACTIVATIONS for i in INITS for d in depths]
    for done, key in enumerate(keys):
        on_progress(done, len(keys))
        rows = [one_network(*key, width, lr, data, seed + number) for number in range(networks)]
        cells[key] = Cell(*(np.array(column) for column in zip(*rows, strict=True)))
    return cells


def load_digits() -> Data:
    """The digits, with no validation part: see `Data`."""
    sets = digits.load(val_fraction=0)
    inputs = sets.train.all_images.flatten(1).float() / 255
    mean = inputs.mean(dim=0)
    return Data(
        inputs - mean, sets.train.labels, sets.test.all_images.flatten(1).float() / 255 - mean, sets.test.labels
    )


def one_network(
    activation: str, init: str, depth: int, width: int, lr: float, data: Data, seed: int
) -> tuple[list[float], list[float], float, float]:
    """Norms before, norms after, factor per layer and test accuracy: see `Cell`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP((data.inputs.shape[1],), CLASSES, hidden=[width] * (depth - 1), activation=activation, init=init)
        order = torch.randperm(len(data.inputs))
    before, factor = gradient_norms(net, data)
    train_an_epoch(net, data, order, lr)
    after, _ = gradient_norms(net, data)
    with torch.no_grad():
        accuracy = (net(data.test_inputs).argmax(1) == data.test_labels).double().mean().item()
    return before, after, factor, accuracy


def train_an_epoch(net: MLP, data: Data, order: Tensor, lr: float) -> None:
    """One epoch of mini-batch gradient descent. order: int64, the examples as they come."""
    optimizer = make_optimizer(net, GradientDescent, lr=lr)
    for batch in order.split(BATCH):
        train_step(net, CrossEntropy(), optimizer, data.inputs[batch], data.labels[batch])


def gradient_norms(net: MLP, data: Data) -> tuple[list[float], float]:
    """‖∂J/∂W_l‖ (Frobenius) in each layer on the whole training set, and the factor per layer of ∂J/∂x."""
    values, layers = layer_by_layer(net, data.inputs)
    loss = CrossEntropy()(values[-1], data.labels)
    *gradients, first, last = torch.autograd.grad(loss, [*(layer.weight for layer in layers), values[1], values[-2]])
    norms = [gradient.double().norm().item() for gradient in gradients]
    shrinking = len(layers) - 2  # layers between the first hidden values and the last
    nearest, farthest = last.double().norm().item(), first.double().norm().item()
    factor = (farthest / nearest) ** (1 / shrinking) if shrinking > 0 and farthest > 0 else float("nan")
    return norms, factor
