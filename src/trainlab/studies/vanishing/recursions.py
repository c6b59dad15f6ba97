"""What is known of the gradient in a network with random weights: the product of Jacobians, and the two recursions.

With weights of mean 0 and variance σ_l² in layer l, n_l units, biases of 0, and a factor a for the activation, the mean
squares of a unit's value x_l and of its gradient are in expectation

    E[x_l²] = E[x_{l−1}²] · a n_{l−1} σ_l²         E[(∂/∂x_{l−1})²] = E[(∂/∂x_l)²] · a n_l σ_l²

a = 1 for a linear network, and for tanh around 0 (Glorot and Bengio 2010, §4.2.1); a = ½ for ReLU (He et al. 2015,
§2.2), which lets half of a symmetric variable through. The last layer is linear: a = 1. The gradient of a weight is the
product ∂/∂z_l · x_{l−1}, and so is its mean square. For ReLU and linear layers these are exact when the
gradient that comes in at the top does not depend on the weights (it is drawn from N(0, 1) here), but for layers with
all their units off, which have the probability 2⁻ⁿ and pass no gradient on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from trainlab.models.mlp import MLP

AROUND_ZERO = 1e-4  # a root mean square of tanh's values, at most: tanh(z) = z to eight digits
TELLING = 0.15  # a standard error of a ratio to 1, beyond which its distribution has too long a tail to say anything
PASSES = {"tanh": 1.0, "relu": 0.5}  # a


@dataclass(frozen=True)
class Moments:
    """Mean squares per unit, from the first layer to the last: (L,) of a recursion, (S, L) of many networks.

    values: of x_1 … x_L. gradients: by x_0 … x_{L−1}. weights: of the gradients by W_1 … W_L.
    """

    values: np.ndarray
    gradients: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Many networks of one activation and initialisation, and what the recursions say of them.

    variance: the relative variance of the mean squares over networks with Gaussian weights.
    """

    activation: str
    init: str
    drawn: Moments
    predicted: Moments
    variance: Moments

    def ratios(self, name: str) -> np.ndarray:
        """What was drawn over what was predicted, (S, L). name: "values", "gradients" or "weights"."""
        return getattr(self.drawn, name) / getattr(self.predicted, name)

    def standard_error(self, name: str) -> np.ndarray:
        """The standard error of the mean ratio over S independent networks, √(variance/S): (L,).

        The variance is that of the networks or, if it is larger, that of Gaussian weights: the ratios are skewed, and
        when a sample happens to have no network from the long tail, its mean and its variance are both too small.
        """
        ratios = self.ratios(name)
        return np.sqrt(np.maximum(ratios.var(axis=0, ddof=1), getattr(self.variance, name)) / len(ratios))

    def deviations(self, name: str) -> np.ndarray:
        """By how many standard errors the mean over the networks differs from the recursion, (L,).

        0 where so few networks cannot tell: in many narrow layers the mean hangs on one in thousands.
        """
        ratios = self.ratios(name)
        telling = np.sqrt(getattr(self.variance, name) / len(ratios)) <= TELLING
        return np.where(telling, np.abs(ratios.mean(axis=0) - 1) / self.standard_error(name), 0.0)


def variance(init: str, fan_in: int, fan_out: int) -> float:
    """Var[w] of each initialisation; a uniform U(±r) has r²/3. fan_in, fan_out: units before and after the layer."""
    return {
        "paper": 0.01**2,  # Krizhevsky et al. 2012, §5
        "kaiming": 2 / fan_in,  # He et al. 2015, §2.2
        "xavier": 2 / (fan_in + fan_out),  # Glorot and Bengio 2010, §4.2.1
        "torch": 1 / (3 * fan_in),  # U(±1/√fan_in)
        "zero": 0.0,
    }[init]


def recursion(activation: str, init: str, widths: Sequence[int]) -> Moments:
    """What the recursions predict for a network of these widths, n_0 … n_L, with inputs of mean square 1 and
    gradients of mean square 1 at the top.
    """
    a = PASSES[activation]
    sigma2 = [variance(init, *layer) for layer in pairwise(widths)]
    last = len(sigma2) - 1
    passes = [a] * last + [1.0]
    values, gradients = [1.0], [1.0]
    for layer in range(last + 1):
        values.append(values[-1] * passes[layer] * widths[layer] * sigma2[layer])
    for layer in range(last, -1, -1):
        gradients.insert(0, gradients[0] * widths[layer + 1] * sigma2[layer] * passes[layer])
    # By a weight of layer l: x_{l−1} times the gradient by z_l, which is that by x_l where the unit lets it through.
    weights = [values[layer] * gradients[layer + 1] * passes[layer] for layer in range(last + 1)]
    return Moments(np.array(values[1:]), np.array(gradients[:-1]), np.array(weights))


def relative_variance(activation: str, widths: Sequence[int]) -> Moments:
    """Var/mean² of the mean squares with Gaussian weights: a layer multiplies 1 + Var/mean² by 1 + c/n_l.

    A sum of n squares of independent normal variables has c = 2; where half of them are set to 0, c = 5: the mean of z⁴
    is then 3/2, and that of z² is ½. For the values that is exact; the gradients, in which the masks of one layer share
    their x, are near it. It grows with Σ 1/n_l (Hanin and Rolnick 2018, "How to start training").
    """
    last = len(widths) - 2
    factors = [1 + (2 if activation == "tanh" else 5) / n for n in widths[1:-1]] + [1 + 2 / widths[-1]]
    up_to = np.cumprod(factors)
    from_top = np.cumprod(factors[::-1])[::-1]
    entering = 1 + 2 / widths[0]  # |Wᵀg|² of the first layer: as many squares as there are inputs
    gradients = np.concatenate([[entering], [1.0] * last]) * from_top
    return Moments(up_to - 1, gradients - 1, np.full(last + 1, up_to[-1]) - 1)


def draw_networks(
    activation: str, init: str, widths: Sequence[int], inputs: Tensor, seed: int, networks: int
) -> Sample:
    """Many networks, each with one example of `inputs` (N, n_0), one gradient at the top, and its own weights, and
    what the recursions say of them.
    """
    inputs = inputs.double()
    predicted, rows = recursion(activation, init, widths), []
    size = AROUND_ZERO / max(1.0, np.sqrt(predicted.values.max())) if activation == "tanh" else 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number in range(networks):
            net = MLP((widths[0],), widths[-1], hidden=widths[1:-1], activation=activation, init=init).double()
            x = inputs[number % len(inputs)][None]
            x = x / x.square().mean().sqrt()
            at_top = torch.randn(1, widths[-1], dtype=torch.float64)
            rows.append(moments_of(net, x, at_top, size))
    drawn = Moments(*(np.stack(column) for column in zip(*rows, strict=True)))
    return Sample(activation, init, drawn, predicted, relative_variance(activation, widths))


def moments_of(net: MLP, x: Tensor, at_top: Tensor, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of values, gradients and gradients by weights, (L,) each, as if the input x · size were x."""
    values, layers = layer_by_layer(net, x * size)
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(values[-1], [*values[:-1], *weights], at_top)

    def mean_squares(tensors: Sequence[Tensor], unit: float) -> np.ndarray:
        return np.array([tensor.detach().square().mean().item() for tensor in tensors]) / unit**2

    return (
        mean_squares(values[1:], size),
        mean_squares(gradients[: len(layers)], 1.0),
        mean_squares(gradients[len(layers) :], size),
    )


def layer_by_layer(net: MLP, inputs: Tensor) -> tuple[list[Tensor], list[nn.Linear]]:
    """The values x_0 … x_L, the last without its activation if that is the identity, and the dense layers."""
    layers = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
    values = [inputs.detach().flatten(1).requires_grad_()]
    for layer in net.layers[1:]:
        if isinstance(layer, nn.Linear):
            values.append(layer(values[-1]))
        else:
            values[-1] = layer(values[-1])
    return values, layers


def linear_difference(depth: int, width: int, init: str, inputs: Tensor, seed: int) -> float:
    """Autograd on a linear network against the product of Jacobians, ∂/∂W_l = (W_L … W_{l+1})ᵀ g x_{l−1}ᵀ.

    The largest difference in any layer, relative to the largest entry there. Biases are random as well: x_{l−1} is
    W_{l−1} x_{l−2} + b_{l−1}.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP((inputs.shape[1],), 10, hidden=[width] * (depth - 1), activation="identity", init=init).double()
        layers = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
        for layer in layers:
            nn.init.normal_(layer.bias, std=0.1)
        at_top = torch.randn(len(inputs), 10, dtype=torch.float64)
    gradients = torch.autograd.grad(net(inputs), [layer.weight for layer in layers], at_top)
    matrices = [layer.weight.detach().numpy() for layer in layers]
    x, jacobian, differences = inputs.numpy(), None, []
    before = [x]
    for matrix, layer in zip(matrices, layers, strict=True):
        before.append(before[-1] @ matrix.T + layer.bias.detach().numpy())
    for number in range(depth - 1, -1, -1):
        product = np.eye(10) if jacobian is None else jacobian
        expected = (at_top.numpy() @ product).T @ before[number]
        largest = max(np.abs(expected).max(), np.finfo(float).tiny)
        differences.append(np.abs(gradients[number].numpy() - expected).max() / largest)
        jacobian = product @ matrices[number]
    return float(max(differences))
