"""Gradient descent and momentum on J(θ) = ½ Σ λ_i θ_i², curvatures 1 and κ: rates, steps, stability, all measured.

With v ← γv + ηλθ and θ ← θ − v, each direction is a linear recurrence with the roots of r² − (1 + γ − ηλ) r + γ. They
lie inside the unit circle iff 0 < ηλ < 2(1 + γ), and where they are complex both have the modulus √γ. (Polyak 1964;
Goh, "Why Momentum Really Works", Distill 2017, §2.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainlab.optim import GradientDescent, Momentum

PRECISION = 1e-6  # of the start's error: what "there" means
FAR = 460.0  # −log of the error up to which the late slope is followed: 1e-200
BOUND_STEPS, HALVINGS = 1000, 14  # of each trial of the bisection, and how many trials
MARGIN = 0.01  # of ηλ: how near to the ends of the complex range the spectral radius is still asked for


@dataclass(frozen=True)
class Tuned:
    """Descents with the best η, and with the best η and γ, for one κ = λ_max/λ_min; those without momentum begin with
    gd_.

    errors: float64 (steps + 1,), the largest |θ_i|, which starts at 1. path: float64 (T, 2). rate: ρ. late_slope: of
    log(error) of momentum against steps, far beyond PRECISION. off: largest relative difference between momentum's
    error and (1 + (1 + ρ)k) ρᵏ.
    """

    kappa: float
    gd_eta: float
    gd_rate: float
    gd_errors: np.ndarray
    gd_path: np.ndarray
    eta: float
    gamma: float
    rate: float
    errors: np.ndarray
    path: np.ndarray
    late_slope: float
    off: float

    @property
    def gd_predicted(self) -> int:
        """Steps to PRECISION of gradient descent: the least k with ρᵏ ≤ 1e-6."""
        return math.ceil(math.log(PRECISION) / math.log(self.gd_rate))

    @property
    def predicted(self) -> int:
        """Steps to PRECISION of momentum, by (1 + (1 + ρ)k) ρᵏ, which counts the double root."""
        k = 0
        while double_root(np.array([k]), self.rate)[0] > PRECISION:
            k += 1
        return k

    @property
    def by_rate_alone(self) -> int:
        """Steps to PRECISION that ρᵏ alone would promise of momentum."""
        return math.ceil(math.log(PRECISION) / math.log(self.rate))


@dataclass(frozen=True)
class Stability:
    """Where momentum is stable, against ηλ.

    etas: float64 (E,), of ηλ. radius: float64 (E,), the spectral radius of one step, for each γ of `gammas`. bounds:
    the ηλ from which on each γ diverges, by bisection. off: largest |radius − √γ| where the roots are complex.
    """

    gammas: tuple[float, ...]
    etas: np.ndarray
    radius: list[np.ndarray]
    bounds: list[float]
    off: float


def tune(kappa: float) -> Tuned:
    """Descend from (1, 1) with the best η of gradient descent and with the best η and γ of momentum."""
    curvatures = torch.tensor([1.0, kappa], dtype=torch.float64)
    root = math.sqrt(kappa)
    gd_eta, gd_rate = 2 / (1 + kappa), (kappa - 1) / (kappa + 1)
    rate = (root - 1) / (root + 1)
    eta, gamma = 4 / (1 + root) ** 2, rate**2
    steps = math.ceil(math.log(PRECISION) / math.log(gd_rate)) + 2
    slow = walk(lambda p: GradientDescent(p, lr=gd_eta), curvatures, steps)
    far = math.ceil(FAR / -math.log(rate))
    fast = walk(lambda p: Momentum(p, lr=eta, momentum=gamma), curvatures, far)
    errors = np.abs(fast).max(axis=1)
    late = np.arange(far // 2, far + 1)
    slope = np.polyfit(late, np.log(errors[late]), 1)[0]
    off = np.abs(errors / double_root(np.arange(far + 1), rate) - 1).max()
    return Tuned(
        kappa, gd_eta, gd_rate, np.abs(slow).max(axis=1), slow, eta, gamma, rate, errors, fast, float(slope), float(off)
    )


def double_root(k: np.ndarray, rate: float) -> np.ndarray:
    """The error after k steps from 1 at rest, where both roots are −ρ, as in the steepest direction at the best η, γ.

    θ_k = (1 + Bk)(−ρ)ᵏ, and θ_1 = (1 − ηλ)θ_0 with 1 − ηλ = −2ρ − γ and γ = ρ² gives B = 1 + ρ.
    """
    return (1 + (1 + rate) * k) * rate**k


def steps_to(errors: np.ndarray, precision: float = PRECISION) -> int:
    """The first step with an error of at most `precision`. errors: (steps + 1,)."""
    there = np.flatnonzero(errors <= precision)
    return int(there[0]) if len(there) else len(errors)


def walk(make: Callable[[list[Tensor]], GradientDescent], curvatures: Tensor, steps: int) -> np.ndarray:
    """The places that our optimizer walks through on ½ Σ λθ² from (1, …, 1): float64 (steps + 1, n)."""
    place = nn.Parameter(torch.ones_like(curvatures))
    optimizer = make([place])
    path = torch.ones(steps + 1, len(curvatures), dtype=torch.float64)
    with torch.no_grad():
        for step in range(steps):
            place.grad = curvatures * place
            optimizer.step()
            path[step + 1] = place
    return path.numpy()


def one_step(gamma: float, etas: np.ndarray) -> np.ndarray:
    """The matrix of one step (θ, v) → (θ, v) for each ηλ, from what the optimizer does to (1, 0) and (0, 1).

    etas: float64 (E,) → float64 (E, 2, 2).
    """
    columns = []
    for theta, velocity in ((1.0, 0.0), (0.0, 1.0)):
        place = nn.Parameter(torch.full((len(etas),), theta, dtype=torch.float64))
        optimizer = Momentum([place], lr=1.0, momentum=gamma)
        optimizer.velocity(place).fill_(velocity)
        place.grad = torch.from_numpy(etas) * place.detach()
        optimizer.step()
        columns.append(torch.stack([place.detach(), optimizer.velocity(place)]))
    return torch.stack(columns).permute(2, 1, 0).numpy()


def spectral_radius(gamma: float, etas: np.ndarray) -> np.ndarray:
    """The largest |eigenvalue| of one step for each ηλ, float64 (E,): the factor by which a step, repeated, shrinks or
    grows.
    """
    return np.abs(np.linalg.eigvals(one_step(gamma, etas))).max(axis=-1)


def complex_range(gamma: float) -> tuple[float, float]:
    """The least and the greatest ηλ between which the roots are complex: (1 + γ − ηλ)² < 4γ."""
    return (1 - math.sqrt(gamma)) ** 2, (1 + math.sqrt(gamma)) ** 2


def stability(gammas: Sequence[float]) -> Stability:
    """The spectral radius of a step for ηλ from 0.005 to 4.2, and the bounds by bisection. gammas: ascending."""
    etas = np.linspace(0.005, 4.2, 840)
    radius = [spectral_radius(gamma, etas) for gamma in gammas]
    off = 0.0
    for gamma, found in zip(gammas, radius, strict=True):
        low, high = complex_range(gamma)
        inside = (etas > low + MARGIN) & (etas < high - MARGIN)
        off = max(off, float(np.abs(found[inside] - math.sqrt(gamma)).max(initial=0.0)))
    return Stability(tuple(gammas), etas, radius, measured_bounds(gammas), off)


def measured_bounds(gammas: Sequence[float]) -> list[float]:
    """For each γ the ηλ from which on the walk grows instead of shrinking, by bisection, all side by side in one
    optimizer.
    """
    low, high = np.full(len(gammas), 0.1), np.full(len(gammas), 4.5)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        grows = growing(gammas, middle)
        low, high = np.where(grows, low, middle), np.where(grows, middle, high)
    return [float(value) for value in (low + high) / 2]


def growing(gammas: Sequence[float], etas: np.ndarray) -> np.ndarray:
    """bool (γ,): whether the walk on ½θ² is further away at its end than it was in its middle."""
    places = [nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in gammas]
    groups: list[dict[str, Any]] = [
        {"params": [place], "lr": float(eta), "momentum": gamma}
        for place, gamma, eta in zip(places, gammas, etas, strict=True)
    ]
    optimizer = Momentum(groups, lr=1.0)
    away = np.empty((BOUND_STEPS, len(places)))
    with torch.no_grad():
        for step in range(BOUND_STEPS):
            for place in places:
                place.grad = place.clone()
            optimizer.step()
            away[step] = [abs(float(place)) for place in places]
    window = BOUND_STEPS // 10  # longer than a swing
    middle, end = away[BOUND_STEPS // 2 :][:window].max(axis=0), away[-window:].max(axis=0)
    return ~(end <= middle)  # also what is no longer a number; with ηλ = 1 both are 0
