"""The Hessian of the loss without ever writing it down: its products with vectors, and its ends by Lanczos's method.

Lanczos 1950; that full-batch descent brings the largest eigenvalue up to 2/η and stays there: Cohen, Kaur, Li, Kolter
and Talwalkar 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability".
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from trainlab.models.response_normalisation import LocalResponseNorm
from trainlab.optim import GradientDescent, train_step
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.landscape.directions import flat, like, weights_of
from trainlab.studies.landscape.surface import LossOf

HALVED = 24  # from a step of 0.1 down to 10⁻⁸


@dataclass(frozen=True)
class LossAt:
    """J(θ) as a function of one row θ (P,) and its derivatives, for one set of examples, all in one batch.

    In float64, of which `theta` is: a network is copied for it, with normalisations that can be derived twice.
    """

    net: nn.Module
    loss: LossOf
    inputs: Tensor
    labels: Tensor
    theta: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        """J, a scalar, at `theta` (P,)."""
        outputs = functional_call(self.net, like(theta, weights_of(self.net)), (self.inputs,))
        return self.loss(outputs, self.labels)

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """The function v ↦ Hv at `theta` (P,), by deriving the gradient once more (Pearlmutter 1994); the graph of
        the gradient is kept for it.
        """
        theta = theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self(theta), theta, create_graph=True)
        return lambda v: torch.autograd.grad(gradient, theta, v, retain_graph=True)[0].detach()


def loss_at(net: nn.Module, loss: LossOf, inputs: Tensor, labels: Tensor) -> LossAt:
    """The loss of these examples as a function of the weights; `net` is not changed. inputs: (N, …); labels: int64
    (N,).
    """
    own = differentiable_twice(copy.deepcopy(net)).double().eval().requires_grad_(False)
    return LossAt(own, loss, inputs.double(), labels, flat(weights_of(own)))


class ResponseNorm(nn.Module):
    """The project's LocalResponseNorm by torch's own operations: its gradient, which is written out by hand there, can
    here be derived again.
    """

    def __init__(self, of: LocalResponseNorm) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        norm = self.of
        parts = [F.local_response_norm(t, norm.size, norm.alpha, norm.beta, norm.k) for t in x.chunk(norm.towers, 1)]
        return torch.cat(parts, dim=1)


def differentiable_twice(net: nn.Module) -> nn.Module:
    """Replace, in `net`, the layers whose hand-written gradient cannot be derived again; returns it."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LocalResponseNorm) and not isinstance(module, ResponseNorm):
                setattr(module, name, ResponseNorm(child))
    return net


@dataclass(frozen=True)
class Spectrum:
    """What Lanczos's method found at both ends of a symmetric matrix.

    values: float64 (k,), ascending: within the true range, so that a negative one proves a negative eigenvalue.
    residuals: (k,), ‖Hv − λv‖: some eigenvalue lies at most so far away. vectors: float64 (top, P), of the largest,
    the very largest last. Of an eigenvalue that occurs several times one copy is found.
    """

    values: np.ndarray
    residuals: np.ndarray
    vectors: Tensor

    def top(self, count: int) -> np.ndarray:
        """The `count` largest, the largest first."""
        return self.values[::-1][:count].copy()


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    top: int = 1,
    bottom: int = 0,
    most: int = 60,
    tolerance: float = 1e-7,
    on_progress: Progress = no_progress,
) -> Spectrum:
    """The `top` largest and `bottom` smallest eigenvalues of a symmetric matrix, by at most `most` products with it.

    start: float (P,). Every new vector is made orthogonal to all others, twice, so that no eigenvalue is found again.
    It ends when the residuals of what was asked for are below `tolerance` times the largest |λ|.
    """
    most = min(most, len(start))
    basis = start.new_empty(most, len(start))  # the system gives the memory when it is written to
    basis[0] = start / start.norm()
    diagonal, beside = [], []
    for step in range(1, most + 1):
        known = basis[:step]
        new = product(known[-1])
        diagonal.append(float(known[-1] @ new))
        for _ in range(2):
            new = new - known.T @ (known @ new)
        beside.append(float(new.norm()))
        values, within = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
        residuals = np.abs(beside[-1] * within[-1])
        largest = np.abs(values).max()
        asked = np.r_[residuals[:bottom], residuals[max(0, step - top) :]]
        on_progress(step, most)
        finished = step >= top + bottom and asked.max() <= tolerance * largest
        if finished or step == most or beside[-1] <= 1e-13 * max(largest, 1e-300):
            break
        basis[step] = new / beside[-1]
    return Spectrum(values, residuals, torch.from_numpy(within.T[-top:]).to(basis) @ known)


def second_difference(function: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor) -> tuple[float, float]:
    """(f(θ + hd) − 2f(θ) + f(θ − hd))/h² with the h from which on halving it twice changes it least; and by how much.

    A network of ReLUs is smooth only between its kinks, so that h has to be small, and not so small that rounding is
    what is left; what rounding can do counts as change. Nothing else but the function is looked at.
    """
    with torch.no_grad():
        middle = float(function(theta))
        steps = 0.1 * 0.5 ** np.arange(HALVED)
        sums = [float(function(theta + h * direction)) + float(function(theta - h * direction)) for h in steps]
    values = (np.array(sums) - 2 * middle) / steps**2
    spread = np.ptp(np.lib.stride_tricks.sliding_window_view(values, 3), axis=1)
    spread = spread + 4 * np.finfo(float).eps * abs(middle) / steps[2:] ** 2
    best = int(np.nanargmin(spread)) if np.isfinite(spread).any() else 0
    return float(values[best]), float(spread[best])


@dataclass(frozen=True)
class Edge:
    """A run of full-batch gradient descent.

    loss: (steps + 1,). at: the steps at which `sharpness` (S,), the largest eigenvalue of the Hessian, was measured.
    """

    eta: float
    loss: np.ndarray
    at: np.ndarray
    sharpness: np.ndarray

    @property
    def bound(self) -> float:
        """2/η, the curvature from which on gradient descent on a quadratic diverges."""
        return 2 / self.eta


def full_batch(
    net: nn.Module,
    loss: LossOf,
    examples: tuple[Tensor, Tensor],
    eta: float,
    at: np.ndarray,
    on_progress: Progress = no_progress,
) -> Edge:
    """Descend with `net`, which is changed, for at[-1] steps of the repository's own gradient descent.

    at: ascending, the steps at which the largest eigenvalue is measured; each begins from the last one's eigenvector.
    It ends early where the loss is no number any more.
    """
    inputs, labels = examples
    optimizer = GradientDescent(net.parameters(), lr=eta)
    start = torch.randn(sum(p.numel() for p in net.parameters()), generator=torch.Generator().manual_seed(0)).double()
    seen, sharpness = [], []
    for step in range(int(at[-1]) + 1):
        if step in at:
            function = loss_at(net, loss, inputs, labels)
            spectrum = lanczos(function.hessian_at(function.theta), start, most=30, tolerance=1e-3)
            sharpness.append(spectrum.values[-1])
            noise = torch.randn(len(start), generator=torch.Generator().manual_seed(step)).double()
            start = spectrum.vectors[-1] + 0.01 * noise / noise.norm()
            on_progress(step, int(at[-1]))
        value = train_step(net, loss, optimizer, inputs, labels)[1].item()
        seen.append(value)
        if not np.isfinite(value):
            break
    return Edge(eta, np.array(seen), np.asarray(at)[: len(sharpness)], np.array(sharpness))
