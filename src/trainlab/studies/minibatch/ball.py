"""The ball in which SGD with a constant η ends: on a quadratic, whose batches' gradients stray alike everywhere.

J(θ) = λ/2 · 1/N Σ (θ − x_i)² has ∇J = λ(θ − x̄), and the gradient of a batch strays from it by λ(x̄ − x̄_B), with the
variance σ² = S/B for independent batches. θ is then an AR(2) process with the stationary variance
(1 + γ) η σ² / ((1 − γ) λ (2(1 + γ) − ηλ)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.optim import Momentum

POINTS = 64  # N
STEPS = 256  # 4 epochs of single points; after them less than 1e-9 of the start is left, for these η and γ
ETAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PATH_STEPS, PATH_ETAS, PATH_CURVATURES, PATH_START = 120, (0.5, 0.05), (1.0, 0.5), (4.5, 3.5)


@dataclass(frozen=True)
class Kind:
    """A way to descend. epochs: batches are dealt out by shuffled epochs, and not drawn independently."""

    momentum: float
    batch_size: int
    epochs: bool = False


KINDS = (Kind(0.0, 1), Kind(0.0, 4), Kind(0.0, 16), Kind(0.5, 1), Kind(0.9, 1), Kind(0.0, 1, epochs=True))


@dataclass(frozen=True)
class Balls:
    """How large the balls are in which SGD ends, with λ = S = 1.

    variance, error: float64 (kinds, ETAS), of θ over the particles at the end, and its standard error; with epochs the
    mean over the last epoch. expected: by the formula, the same shape. paths: by η, float64 (T, 2), on a bowl. radii:
    by η, float64 (2,), two standard deviations along each axis of the bowl.
    """

    kinds: tuple[Kind, ...]
    variance: np.ndarray
    error: np.ndarray
    expected: np.ndarray
    paths: dict[float, np.ndarray]
    radii: dict[float, np.ndarray]

    @property
    def away(self) -> float:
        """The largest difference from the formula in standard errors, where batches are independent."""
        independent = [k for k, kind in enumerate(self.kinds) if not kind.epochs]
        return float((np.abs(self.variance - self.expected) / self.error)[independent].max())


def stationary_variance(eta: float, momentum: float, curvature: float, noise: float) -> float:
    """The variance in which θ ends, ηS(1 + γ)/(λ(1 − γ)(2(1 + γ) − ηλ)), for gradients λθ + noise.

    noise: the variance S of the gradient. Infinite from η = 2(1 + γ)/λ on, where nothing ends.
    """
    room = 2 * (1 + momentum) - eta * curvature
    return (1 + momentum) * eta * noise / ((1 - momentum) * curvature * room) if room > 0 else np.inf


def measure_balls(particles: int, seed: int) -> Balls:
    """Many particles descend side by side, each with batches of its own, by the repository's own Momentum. λ = 1."""
    generator = torch.Generator().manual_seed(seed)
    x = standardised(torch.randn(POINTS, dtype=torch.float64, generator=generator))
    found = [particles_at_the_end(kind, x, particles, generator) for kind in KINDS]
    expected = [[stationary_variance(eta, k.momentum, 1.0, 1 / k.batch_size) for eta in ETAS] for k in KINDS]
    paths = {eta: path(eta, generator) for eta in PATH_ETAS}
    radii = {eta: 2 * np.sqrt([stationary_variance(eta, 0.0, c, c**2) for c in PATH_CURVATURES]) for eta in PATH_ETAS}
    variance, error = np.array([f[0] for f in found]), np.array([f[1] for f in found])
    return Balls(KINDS, variance, error, np.array(expected), paths, radii)


def standardised(x: Tensor) -> Tensor:
    """x with mean 0 and variance 1 (divided by N): then S = 1."""
    return (x - x.mean(0)) / x.std(0, unbiased=False)


def particles_at_the_end(
    kind: Kind, x: Tensor, particles: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The variance over the particles for each η, and its standard error, float64 (ETAS,) each. All η see the same
    batches.
    """
    weights = [torch.zeros(particles, dtype=torch.float64) for _ in ETAS]
    groups = [{"params": [w], "lr": eta} for w, eta in zip(weights, ETAS, strict=True)]
    optimizer = Momentum(groups, lr=ETAS[0], momentum=kind.momentum)
    last_epoch = []
    for step in range(STEPS):
        if kind.epochs and step % len(x) == 0:
            order = torch.rand(particles, len(x), generator=generator).argsort(1)
        if kind.epochs:
            means = x[order[:, step % len(x)]]
        else:
            means = x[torch.randint(len(x), (particles, kind.batch_size), generator=generator)].mean(1)
        for w in weights:
            w.grad = w - means
        optimizer.step()
        if step >= STEPS - len(x):
            last_epoch.append(torch.stack(weights).square().mean(1))
    end = torch.stack(weights).square()  # the mean of θ is 0
    variance = torch.stack(last_epoch).mean(0) if kind.epochs else end.mean(1)
    return variance.numpy(), (end.std(1) / particles**0.5).numpy()


def path(eta: float, generator: torch.Generator) -> np.ndarray:
    """One descent on a bowl with PATH_CURVATURES, a batch of one point each step: float64 (PATH_STEPS + 1, 2)."""
    x = standardised(torch.randn(POINTS, 2, dtype=torch.float64, generator=generator))
    curvatures = torch.tensor(PATH_CURVATURES, dtype=torch.float64)
    w = torch.tensor(PATH_START, dtype=torch.float64)
    optimizer = Momentum([w], lr=eta, momentum=0.0)
    places = [w.numpy().copy()]
    for i in torch.randint(POINTS, (PATH_STEPS,), generator=generator).tolist():
        w.grad = curvatures * (w - x[i])
        optimizer.step()
        places.append(w.numpy().copy())
    return np.array(places)
