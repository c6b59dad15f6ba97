"""How far the built networks, and trained ones of the same width, are from the target, and what the bounds say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainlab.models.mlp import MLP
from trainlab.objective import half_mean_square
from trainlab.optim import Momentum, Schedule, make_optimizer, train_step
from trainlab.studies.approximation.evaluation import Expression, derivatives, slopes
from trainlab.studies.approximation.networks import (
    STEEPNESS,
    bumps,
    dense,
    edges,
    outputs_of,
    polygon,
    steps,
    sum_of_steps,
    towers,
)
from trainlab.studies.finding import Progress, no_progress

GRID = 20_000  # equal parts of [0, 1] on which the largest values are sought
BESIDE = np.array([2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0])  # /w from a step: where the error is largest
ROUNDING = 1e-12
TRAINING_POINTS = 201
ETAS = (0.01, 0.03, 0.1)  # the best of them counts
MOMENTUM = 0.9
SQUARE = 241  # points along a side of the unit square
CORNER = 25.0  # /w from a corner of four towers: in there all are off
BUILT, TRAINED = ("steps", "bumps", "polygon"), ("sigmoid", "relu")


@dataclass(frozen=True)
class Shape:
    """How steep and how bent f is on [0, 1]: infinite where f has a kink.

    lipschitz: L = max|f′|. bend: M₂ = max|f″|. third: max|f‴|.
    """

    lipschitz: float
    bend: float
    third: float

    @property
    def enough(self) -> float:
        """The number of cells from which on f is nearly straight and f″ nearly constant in each: from there errors fall
        as n⁻¹ and n⁻².
        """
        return 4 * max(self.bend / self.lipschitz, self.third / self.bend) if self.bend else float("inf")


@dataclass(frozen=True)
class Widths:
    """What networks of K numbers of hidden units are worth, built and trained.

    widths: hidden units, int (K,). errors: by kind (`BUILT` and `TRAINED`) the largest |f − network| on [0, 1], (K,)
    each. bounds: by kind of `BUILT`, (K,) each; rounding: what float64 may add to them. difference: the largest between
    a built network and the sum that it stands for. etas: by kind of `TRAINED`, the learning rate that did best at each
    width. shown: by kind, the outputs (G,) on `grid` (G,) of the networks of `shown_width` units.
    """

    widths: np.ndarray
    errors: dict[str, np.ndarray]
    bounds: dict[str, np.ndarray]
    rounding: float
    difference: float
    etas: dict[str, list[float]]
    shown_width: int
    grid: np.ndarray
    shown: dict[str, np.ndarray]


@dataclass(frozen=True)
class Towers:
    """side × side towers beside the surface that they approximate, on the unit square.

    x: (S,), the points along both sides. target, network: (S, S), [i, j] at (x_i, x_j). error, bound: of |f − network|
    away from the corners of the cells. at_corners: the largest error just there, NaN with one tower. hidden: units of
    both layers.
    """

    side: int
    x: np.ndarray
    target: np.ndarray
    network: np.ndarray
    error: float
    bound: float
    at_corners: float
    hidden: tuple[int, int]


def shape_of(target: Expression) -> Shape:
    """The largest |f′|, |f″| and |f‴| on [0, 1], from a grid of 20,001 points.

    Between two points, h apart, |f′| can be higher by max|f‴| h²/8, which is added; and |f″| likewise.
    """
    x = torch.linspace(0, 1, GRID + 1, dtype=torch.float64)
    _, *found = derivatives(target, x, 4)
    first, second, third, fourth = (float(np.abs(values).max()) for values in found)

    def raised(value: float, curvature: float) -> float:
        between = curvature / (8 * GRID**2)
        return value + (between if np.isfinite(between) else 0.0)

    if target.has_kinks or not np.isfinite(second):
        return Shape(first, float("inf"), float("inf"))
    return Shape(raised(first, third), raised(second, fourth), third)


def bounds(shape: Shape, widths: np.ndarray) -> dict[str, np.ndarray]:
    """The most by which a built network with n hidden units can be off: L/(2n), or L/(2⌊n/2⌋) for bumps, and M₂/(8n²)
    for the polygon where there is an M₂. (K,) each.
    """
    cells = widths // 2
    curved = math.isfinite(shape.bend)
    return {
        "steps": shape.lipschitz / (2 * widths),
        "bumps": shape.lipschitz / (2 * cells),
        "polygon": shape.bend / (8 * widths**2) if curved else shape.lipschitz / (2 * widths),
    }


def measure_widths(
    target: Expression,
    shape: Shape,
    widths: Sequence[int],
    train_steps: int,
    seed: int,
    on_progress: Progress = no_progress,
) -> Widths:
    """Build and train networks of all these widths, and measure them. train_steps: of each trained one. seed: of their
    weights.
    """
    grid = np.linspace(0, 1, 2001)
    shown_width = min(widths, key=lambda width: abs(np.log(width / 20)))
    errors: dict[str, list[float]] = {kind: [] for kind in (*BUILT, *TRAINED)}
    etas: dict[str, list[float]] = {kind: [] for kind in TRAINED}
    shown, difference = {}, 0.0
    for number, width in enumerate(widths):
        built = {"steps": steps(target, width), "bumps": bumps(target, width), "polygon": polygon(target, width)}
        for kind, net in built.items():
            cells = width // 2 if kind == "bumps" else width
            points = fine_points(cells)
            outputs = outputs_of(net, points)
            errors[kind].append(float(np.abs(outputs - target(points)).max()))
            difference = max(difference, float(np.abs(outputs - meant(kind, target, cells, points)).max()))
            if width == shown_width:
                shown[kind] = outputs_of(net, grid)
        for place, kind in enumerate(TRAINED):
            on_progress(number * len(TRAINED) + place, len(widths) * len(TRAINED))
            net, error, eta = best_trained(target, kind, width, train_steps, seed)
            errors[kind].append(error)
            etas[kind].append(eta)
            if width == shown_width:
                shown[kind] = outputs_of(net, grid)
    return Widths(
        np.array(widths),
        {kind: np.array(values) for kind, values in errors.items()},
        bounds(shape, np.array(widths)),
        ROUNDING * (1 + float(np.abs(target(grid)).max())),
        difference,
        etas,
        shown_width,
        grid,
        shown,
    )


def fine_points(cells: int) -> np.ndarray:
    """Points of [0, 1], ascending float64 (N,): a grid, both sides of each step, and the middle of each cell, where the
    errors are largest.
    """
    w = STEEPNESS * cells
    beside = (edges(cells)[1:-1, None] + np.concatenate([-BESIDE, BESIDE]) / w).ravel()
    return np.unique(np.concatenate([np.linspace(0, 1, GRID // 2 + 1), beside, (np.arange(cells) + 0.5) / cells]))


def meant(kind: str, target: Expression, cells: int, points: np.ndarray) -> np.ndarray:
    """What the built network of this kind stands for, at `points` (N,), without a network: float64 (N,)."""
    if kind == "polygon":
        knots = np.arange(cells + 1) / cells
        return np.interp(points, knots, target(knots))
    return sum_of_steps(target, cells, points)


def best_trained(
    target: Expression, activation: str, width: int, train_steps: int, seed: int
) -> tuple[MLP, float, float]:
    """The network trained with the best η, its largest error on [0, 1], and that η."""
    points = np.linspace(0, 1, GRID // 4 + 1)
    truth, best = target(points), None
    for eta in ETAS:
        net = trained(target, activation, width, train_steps, eta, seed)
        error = float(np.abs(outputs_of(net, points) - truth).max())
        if best is None or error < best[1] or not math.isfinite(best[1]):  # with too large an η it may diverge
            best = (net, error, eta)
    assert best is not None
    return best


def trained(target: Expression, activation: str, width: int, train_steps: int, eta: float, seed: int) -> MLP:
    """A network of one hidden layer, trained on ½ the mean squared error by this repository's momentum.

    Full batches of 201 equally spaced points, a cosine schedule. So that it is no straw man, its units do not all begin
    at x = 0, as with biases of 0: their steps or kinks are spread over [0, 1] by chance, which `seed` decides.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP((1,), 1, hidden=[width], activation=activation, init="kaiming" if activation == "relu" else "xavier")
        first = dense(net)[0]
        first.bias.data = -first.weight.data[:, 0] * torch.rand(width)
    x = np.linspace(0, 1, TRAINING_POINTS)
    inputs = torch.from_numpy(x)[:, None].float()
    targets = torch.from_numpy(target(x)).float()
    optimizer = make_optimizer(net, Momentum, lr=eta, momentum=MOMENTUM)
    schedule = Schedule("cosine").of(optimizer, train_steps)
    for _ in range(train_steps):
        train_step(net, half_mean_square, optimizer, inputs, targets)
        assert schedule is not None
        schedule.step()  # type: ignore[call-arg]
    return net


def slope(widths: np.ndarray, errors: np.ndarray, enough: float) -> float | None:
    """d log(error)/d log(width) by least squares, over the widths of at least `enough` cells; None for fewer than 3 of
    them, and where rounding is in sight.
    """
    there = widths >= enough
    if there.sum() < 3 or not (errors[there] > 1e3 * ROUNDING).all():
        return None
    return float(np.polyfit(np.log(widths[there]), np.log(errors[there]), 1)[0])


def measure_towers(surface: Expression, side: int) -> Towers:
    """side × side towers over the unit square, and their error at all points but those beside a corner of cells."""
    net = towers(surface, side)
    x = np.linspace(0, 1, SQUARE)
    first, second = np.meshgrid(x, x, indexing="ij")
    outputs = outputs_of(net, np.stack([first.ravel(), second.ravel()], axis=1)).reshape(first.shape)
    target = surface(first, second)
    w = STEEPNESS * side
    inner = edges(side)[1:-1]
    at_edge = (np.abs(x[:, None] - inner) < CORNER / w).any(axis=1) if side > 1 else np.zeros(len(x), bool)
    away = ~(at_edge[:, None] & at_edge[None, :])
    # Both sides of each edge as well, along the lines of the grid that are no edges.
    beside = (inner[:, None] + np.concatenate([-BESIDE, BESIDE]) / w).ravel()
    strips = np.array(np.meshgrid(beside, x[~at_edge], indexing="ij")).reshape(2, -1).T
    strips = np.concatenate([strips, strips[:, ::-1]])
    on_strips = np.abs(outputs_of(net, strips) - surface(*strips.T)) if len(strips) else np.zeros(1)
    corners = np.array(np.meshgrid(inner, inner)).reshape(2, -1).T
    at_corners = np.abs(outputs_of(net, corners) - surface(*corners.T)).max() if len(corners) else float("nan")
    steepest = float(slopes(surface, first, second).max())
    return Towers(
        side,
        x,
        target,
        outputs,
        error=float(max(np.abs(outputs - target)[away].max(), on_strips.max())),
        bound=steepest * math.sqrt(2) / (2 * side),
        at_corners=float(at_corners),
        hidden=(2 * (side + 1), side * side),
    )
