"""The least-squares solution in closed form: what gradient descent on a linear perceptron must arrive at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.augment import NoAugmentation
from trainlab.objective import HalfMSE
from trainlab.runtime.assembly import Assembly

MOST_FEATURES = 2000  # beyond that the closed form costs more than the run


def least_squares(inputs: Tensor, labels: Tensor, classes: int, weight_decay: float = 0.0) -> Tensor:
    """argmin over W, b of 1/(2n) Σ ‖W x + b − y‖² + c/2 ‖W‖², y one-hot (lecture: "J(w) = 1/(2n) Σ (f − y)²").

    inputs: float (n, F); labels: int64 (n,) → float64 (F + 1, classes), the last row is b. Of several
    solutions it is the one of least norm.
    """
    x = _with_bias(inputs)
    y = F.one_hot(labels, classes).double()
    n, features = x.shape
    held = torch.full((features,), weight_decay * n, dtype=torch.float64)
    held[-1] = 0  # L2 leaves the bias alone
    x = torch.cat([x, held.sqrt().diag()])
    return torch.linalg.lstsq(
        x, torch.cat([y, torch.zeros(features, classes, dtype=torch.float64)]), driver="gelsd"
    ).solution


def gaps(weight: Tensor, bias: Tensor, inputs: Tensor, labels: Tensor, weight_decay: float = 0.0) -> dict[str, float]:
    """How far a linear perceptron is from the least-squares solution: the greatest difference of a weight, and of J.

    weight: float (classes, F); bias: (classes,); inputs: (n, F); labels: int64 (n,). When pixels are constant the
    solution is not unique, and the weights may differ while J does not.
    """
    trained = torch.cat([weight.detach().cpu().double().T, bias.detach().cpu().double()[None]])
    solution = least_squares(inputs, labels, len(bias), weight_decay)
    x, y = _with_bias(inputs), F.one_hot(labels, len(bias)).double()

    def objective(w: Tensor) -> float:
        data = (x @ w - y).square().sum() / (2 * len(x))
        return float(data + 0.5 * weight_decay * w[:-1].square().sum())

    return {
        "least_squares/weight_gap": float((trained - solution).abs().max()),
        "least_squares/objective_gap": objective(trained) - objective(solution),
    }


def gaps_of(parts: Assembly) -> dict[str, float]:
    """How far a run's network is from the least-squares solution, by the names of results.json; nothing for a network
    that is not a linear perceptron on ½ MSE.
    """
    net, data = parts.net, parts.data
    linear = getattr(net, "linear", None)
    if not isinstance(linear, nn.Linear) or not isinstance(parts.loss, HalfMSE):
        return {}
    if not isinstance(net.activation, nn.Identity) or linear.in_features > MOST_FEATURES:
        return {}
    if not isinstance(data.augmentation, NoAugmentation | None):
        return {}
    return gaps(linear.weight, linear.bias, data.training_inputs(), data.sets.train.labels, parts.l2.weight_decay)


def _with_bias(inputs: Tensor) -> Tensor:
    x = inputs.flatten(1).double()
    return torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
