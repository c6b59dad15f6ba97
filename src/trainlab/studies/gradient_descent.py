"""Batch gradient descent on J(w) = 1/(2n) Σ (f(x; w) − y)² of a linear perceptron: η too small, good and too large.

Lecture: "Comencemos con un simple Perceptrón". J is a paraboloid with the Hessian H = XᵀX/n. With e = w − w*, a step is
e ← (I − ηH) e, so that gradient descent converges exactly for η < 2/λ_max, and contracts by max|1 − ηλ_i| or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from trainlab.errors import InputError
from trainlab.objective import half_mean_square
from trainlab.optim import GradientDescent, train_step
from trainlab.recording.section import Say, Section, Series, speaker
from trainlab.studies.finding import Finding, Oracle, Progress, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PATHS = 6  # colours that can be told apart
SLOW, TOO_LARGE = 0.04, 1.02  # of the largest η that converges
BOUND_STEPS = 2000  # after which descent below and above the bound are told apart
TO_THE_END = 20_000  # steps at most, to the closed form
SWEPT_STEPS = 200  # at most, of each
SWEPT = (0.04, 0.2, 0.5, 0.8, 0.95, 0.99, 1.02)  # of the largest η that converges: a figure of each


@dataclass(frozen=True)
class Path:
    """One descent. weights: float64 (steps + 1, 2), slope and intercept. loss: float64 (steps + 1,), J of each."""

    eta: float
    weights: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Descents:
    """All descents, and the paraboloid that they are on.

    paths: one for each η. to_the_end: with the best η, until it is at the solution. hessian: (2, 2). curvatures: its
    eigenvalues, ascending. solution: of least squares, (2,), with J = least. measured_bound: the η from which on
    descent diverges.
    """

    paths: list[Path]
    to_the_end: Path
    hessian: np.ndarray
    curvatures: np.ndarray
    solution: np.ndarray
    least: float
    measured_bound: float

    @property
    def bound(self) -> float:
        """2/λ_max, the learning rate from which on gradient descent diverges."""
        return float(2 / self.curvatures[-1])


def study(
    *,
    etas: Sequence[float] | None = None,
    examples: int = 30,
    noise: float = 0.3,
    steps: int = 40,
    start: Sequence[float] = (-2.0, 3.0),
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Descend from `start` with each of `etas`; None: with a slow, the best and a divergent one.

    examples: points (x, y) with x uniform in [0, 2) and y = 1.5 x − 0.5 + noise·N(0, 1). start: the first (slope,
    intercept). Raises InputError for learning rates that are not positive, and for fewer than two examples or steps.
    """
    say = speaker(lang)
    check(etas, examples, noise, steps, start, seed)
    inputs, targets = points(examples, noise, seed)
    found = measure(inputs, targets, etas, start, steps, on_progress)
    numbers = {
        "lambda_min": float(found.curvatures[0]),
        "lambda_max": float(found.curvatures[-1]),
        "largest_eta": found.bound,
        "measured_largest_eta": found.measured_bound,
        "best_eta": found.to_the_end.eta,
        "steps_to_closed_form": float(len(found.to_the_end.loss) - 1),
    }
    numbers |= {f"loss_after_{steps}_steps/eta={path.eta:.4g}": float(path.loss[-1]) for path in found.paths}
    section = Section(
        say("Gradient descent on a parabola", "Descenso de gradiente en una parábola"),
        head=["η", "η/(2/λ_max)", "max|1 − ηλ|", say(f"J after {steps} steps", f"J tras {steps} pasos")],
        rows=[
            [
                f"{path.eta:.4g}",
                f"{path.eta / found.bound:.2f}",
                f"{np.abs(1 - path.eta * found.curvatures).max():.3f}",
                f"{path.loss[-1]:.4g}",
            ]
            for path in found.paths
        ],
        sentences=[seen(say, found, steps)],
        figures={"gradient_descent": partial(draw, found, say)},
        series={"eta": sweep(inputs, targets, start, steps, found, say)},
    )
    return Finding(section, numbers, oracles(found, say))


def measure(
    inputs: np.ndarray,
    targets: np.ndarray,
    etas: Sequence[float] | None,
    start: Sequence[float],
    steps: int,
    on_progress: Progress = no_progress,
) -> Descents:
    """All descents on these points: x beside ones, float64 (n, 2), and y, float64 (n,)."""
    hessian = inputs.T @ inputs / len(inputs)
    curvatures = np.linalg.eigvalsh(hessian)
    bound, best = 2 / curvatures[-1], 2 / (curvatures[0] + curvatures[-1])
    solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    chosen = list(etas) if etas else [SLOW * bound, best, TOO_LARGE * bound]
    paths = []
    for done, eta in enumerate(chosen):
        on_progress(done, len(chosen) + 2)
        paths.append(descend(inputs, targets, eta, start, steps))
    on_progress(len(chosen), len(chosen) + 2)
    to_the_end = descend(inputs, targets, best, start, TO_THE_END, until=solution)
    on_progress(len(chosen) + 1, len(chosen) + 2)
    measured = least_divergent(inputs, targets, start, solution, bound)
    least = float(np.square(inputs @ solution - targets).mean() / 2)
    return Descents(paths, to_the_end, hessian, curvatures, solution, least, measured)


def oracles(found: Descents, say: Say) -> tuple[Oracle, ...]:
    """What the descents are checked against: least squares, the bound on η, and the contraction of each step."""
    excess = max(excess_contraction(path, found.curvatures, found.solution) for path in found.paths)
    return (
        Oracle(
            "closed_form",
            float(np.abs(found.to_the_end.weights[-1] - found.solution).max()),
            1e-6,
            say("numpy's least squares: largest difference", "mínimos cuadrados de numpy: mayor diferencia"),
        ),
        Oracle(
            "largest_eta",
            abs(found.measured_bound / found.bound - 1),
            0.01,
            say("2/λ_max, where descent begins to diverge: relative difference", "2/λ_max, donde comienza a divergir"),
        ),
        Oracle(
            "contraction",
            excess,
            1e-9,
            say("max|1 − ηλ_i|: excess of a step's contraction", "max|1 − ηλ_i|: exceso de la contracción de un paso"),
        ),
    )


def check(
    etas: Sequence[float] | None, examples: int, noise: float, steps: int, start: Sequence[float], seed: int
) -> None:
    """Raises InputError for an option that is out of its range."""
    for eta in etas or ():
        if not 0 < eta < 1e6:
            raise InputError(f"etas has {eta:g}", option="etas", value=eta, hint="a learning rate is greater than 0")
    if etas is not None and not 1 <= len(etas) <= MOST_PATHS:
        raise InputError(f"etas has {len(etas)} learning rates", option="etas", value=etas, hint="give one to six")
    for option, value, most in (("examples", examples, 100_000), ("steps", steps, 10_000)):
        if not 2 <= value <= most:
            raise InputError(
                f"{option}={value} cannot be used", option=option, value=value, hint=f"it has to be from 2 to {most:,}"
            )
    if not 0 <= noise <= 100:
        raise InputError(
            f"noise={noise:g} cannot be used", option="noise", value=noise, hint="it has to be from 0 to 100"
        )
    if len(start) != 2 or max(map(abs, start)) > 1000:
        hint = "give two numbers from -1000 to 1000: slope, intercept"
        raise InputError(f"start={list(start)} cannot be used", option="start", value=start, hint=hint)
    if seed < 0:
        raise InputError(f"seed={seed} cannot be used", option="seed", value=seed, hint="it has to be at least 0")


def points(examples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The data: x beside a column of ones, float64 (n, 2), and y = 1.5 x − 0.5 + noise·N(0, 1), float64 (n,)."""
    random = np.random.default_rng(seed)
    x = random.uniform(0, 2, examples)
    return np.stack([x, np.ones(examples)], axis=1), 1.5 * x - 0.5 + noise * random.standard_normal(examples)


def descend(
    inputs: np.ndarray,
    targets: np.ndarray,
    eta: float,
    start: Sequence[float],
    steps: int,
    until: np.ndarray | None = None,
) -> Path:
    """Batch gradient descent by this repository's own step. steps: at most. until: weights (2,) at which it may end, to
    1e-9.
    """
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    net = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    net.weight.data = torch.tensor([list(start)], dtype=torch.float64)
    optimizer = GradientDescent(net.parameters(), lr=eta)
    weights, losses = [], []
    for _ in range(steps + 1):
        weights.append(net.weight.detach()[0].numpy().copy())
        _, loss = train_step(net, half_mean_square, optimizer, x, y)
        losses.append(loss.item())
        if until is not None and np.abs(weights[-1] - until).max() < 1e-9:
            break
    return Path(eta, np.array(weights), np.array(losses))


def least_divergent(
    inputs: np.ndarray, targets: np.ndarray, start: Sequence[float], solution: np.ndarray, expected: float
) -> float:
    """The η from which on descent still moves away from the solution after many steps, by bisection to 0.1 % between
    half and twice `expected`.
    """
    low, high = expected / 2, expected * 2
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        path = descend(inputs, targets, middle, start, BOUND_STEPS // 10)
        away = np.linalg.norm(path.weights - solution, axis=1)
        if not away[-1] <= away[len(away) // 2]:
            high = middle
        else:
            low = middle
    return (low * high) ** 0.5


def excess_contraction(path: Path, curvatures: np.ndarray, solution: np.ndarray) -> float:
    """By how much a step's contraction of the distance to the solution exceeds max|1 − ηλ_i|, at the worst step; at
    least 0.
    """
    away = np.linalg.norm(path.weights - solution, axis=1)
    far = away[:-1] > 1e-6  # nearer, rounding is what is left
    ratios = away[1:][far] / away[:-1][far]
    return max(0.0, float((ratios - np.abs(1 - path.eta * curvatures).max()).max(initial=0.0)))


def seen(say: Say, found: Descents, steps: int) -> str:
    """The paragraph: what was seen, beside what the lecture says."""
    bound, measured, best = found.bound, found.measured_bound, found.to_the_end.eta
    first, enough = found.paths[0].loss[0], len(found.to_the_end.loss) - 1
    ends = ", ".join(f"{path.loss[-1]:.4g} (η = {path.eta:.3g})" for path in found.paths)
    return say(
        "The lecture steps along −η∇J and leaves η open. J is a paraboloid, and there is a sharp bound: "
        f"2/λ_max = {bound:.4f}; measured by bisection, {measured:.4f}. "
        f"From J = {first:.3f}, {steps} steps lead to {ends}. "
        f"With η = 2/(λ_min + λ_max) = {best:.3f} the weights are those of least squares after {enough:.0f} steps. "
        "(The lecture's pseudo-code adds up (y − ŷ)x and subtracts it, which would ascend; descent adds it.)",
        "La clase avanza según −η∇J y deja η libre. J es un paraboloide y hay una cota exacta: "
        f"2/λ_max = {bound:.4f}; medida por bisección, {measured:.4f}. "
        f"Desde J = {first:.3f}, {steps} pasos llevan a {ends}. "
        f"Con η = 2/(λ_mín + λ_max) = {best:.3f} los pesos son los de mínimos cuadrados tras {enough:.0f} pasos. "
        "(El pseudocódigo de la clase acumula (y − ŷ)x y lo resta, lo que ascendería; para descender se suma.)",
    )


def draw(found: Descents, say: Say) -> Figure:
    """The paths on the contours of J, and J against the steps."""
    from trainlab.figures.studies.gradient_descent import paths_on_contours

    paths = [(path.eta, path.weights, path.loss) for path in found.paths]
    return paths_on_contours(paths, found.hessian, found.solution, found.least, say)


def sweep(
    inputs: np.ndarray, targets: np.ndarray, start: Sequence[float], steps: int, found: Descents, say: Say
) -> Series:
    """A path from `start` with each of several η, as the pictures of a slider."""
    etas = [share * found.bound for share in SWEPT]

    def draw_each() -> Iterator[Figure]:
        from trainlab.figures.studies.gradient_descent import one_path_each

        paths = [descend(inputs, targets, eta, start, min(steps, SWEPT_STEPS)) for eta in etas]
        drawn = [(path.eta, path.weights, path.loss) for path in paths]
        return one_path_each(drawn, found.hessian, found.solution, found.least, say)

    return Series("η", [f"{eta:.3g}" for eta in etas], draw_each)
