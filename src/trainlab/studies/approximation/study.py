"""The universal approximation theorem, shown by construction: steps, bumps, any function of one variable, towers.

Lecture: "¿Hasta dónde podemos llegar con un MLP?". For a target f with |f′| ≤ L and |f″| ≤ M₂ on [0, 1], and n cells:
a staircase of midpoint values is off by L/(2n) at most, the polygon through the values at i/n by M₂/(8n²), and towers
on n × n cells by max‖∇f‖ √2/(2n), half the diagonal of a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, Series, speaker
from trainlab.studies.approximation.evaluation import Expression, read, slopes
from trainlab.studies.approximation.measurement import (
    BUILT,
    ETAS,
    ROUNDING,
    TRAINED,
    Shape,
    Towers,
    Widths,
    measure_towers,
    measure_widths,
    shape_of,
    slope,
)
from trainlab.studies.approximation.networks import logistic, outputs_of, polygon, steps
from trainlab.studies.finding import Finding, Oracle, Progress, check_seed, no_progress
from trainlab.studies.typesetting import raised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = "0.2+0.4*x^2+0.3*x*sin(15*x)+0.05*cos(50*x)"  # Nielsen, "Neural Networks and Deep Learning", ch. 4
SURFACE = "exp(-8*((x-0.4)^2+(y-0.6)^2))+0.3*x"
WIDTHS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
SWEPT_W, SWEPT_N = (1, 2, 5, 10, 20, 50, 100), (2, 5, 10, 20, 50, 100, 200)  # a figure of each
GOAL = 0.01  # an error for which the units that are enough are named


@dataclass(frozen=True)
class Found:
    """What the study measured: the target with its bounds, the networks of each width, and the towers."""

    target: Expression
    shape: Shape
    widths: Widths
    towers: Towers

    @property
    def cells(self) -> dict[str, np.ndarray]:
        """How many cells of [0, 1] each built network has, by kind: int (K,)."""
        widths = self.widths.widths
        return {"steps": widths, "bumps": widths // 2, "polygon": widths}

    def slope(self, kind: str) -> float | None:
        """d log(error)/d log(cells) of a built kind; None where there are too few widths to see it."""
        return slope(self.cells[kind], self.widths.errors[kind], self.shape.enough)


def study(
    *,
    target: str = TARGET,
    widths: Sequence[int] = WIDTHS,
    surface: str = SURFACE,
    towers: int = 8,
    train_steps: int = 1000,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Approximate `target`, a function of x on [0, 1], by networks of these widths, built and trained.

    surface: a function of x and y, approximated by towers × towers towers. train_steps: of each trained network.
    Raises InputError for what cannot be read, is not finite on [0, 1], or has no finite slope there.
    """
    say = speaker(lang)
    check(widths, towers, train_steps, seed)
    line, plane = read("target", target, ["x"]), read("surface", surface, ["x", "y"])
    shape = shape_of(line)
    check_shapes(line, plane, shape)
    found = Found(
        line,
        shape,
        measure_widths(line, shape, sorted(set(widths)), train_steps, seed, on_progress),
        measure_towers(plane, towers),
    )
    figures: dict[str, Callable[[], Figure | None]] = {
        "step_and_bump": partial(draw_step_and_bump, say),
        "built_and_trained": partial(draw_built, found, say),
        "error_against_width": partial(draw_errors, found, say),
        "towers": partial(draw_towers, found, surface, say),
    }
    section = Section(
        say("Universal approximation", "Aproximación universal"),
        head=[
            say("hidden units", "unidades ocultas"),
            say("steps", "escalones"),
            "L/(2n)",
            say("bumps", "pulsos"),
            say("ReLU polygon", "poligonal de ReLU"),
            "M₂/(8n²)",
            say("trained, sigmoid", "entrenada, sigmoide"),
            say("trained, ReLU", "entrenada, ReLU"),
        ],
        rows=table(found),
        sentences=[seen(say, found, train_steps)],
        figures=figures,
        series={"w": sweep_steepness(say), "n": sweep_units(line, say)},
    )
    return Finding(section, numbers_of(found), oracles(found, say))


def check(widths: Sequence[int], towers: int, train_steps: int, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    check_seed(seed)
    if not 1 <= len(widths) <= 20:
        raise InputError(f"widths has {len(widths)} numbers of hidden units; give from 1 to 20, such as [10,100].")
    for width in widths:
        if not 2 <= width <= 2000:
            raise InputError(f"widths has {width}, and a built network has from 2 to 2000 hidden units.")
    if not 1 <= towers <= 30:
        raise InputError(f"towers={towers} has to be from 1 to 30 along each side.")
    if not 1 <= train_steps <= 20_000:
        raise InputError(f"train_steps={train_steps} has to be from 1 to 20000.")


def check_shapes(target: Expression, surface: Expression, shape: Shape) -> None:
    """Raises InputError for functions that are constant, or have no finite slope, for which there is no bound."""
    x = np.linspace(0, 1, 101)
    steepest = float(slopes(surface, *np.meshgrid(x, x, indexing="ij")).max())
    for expression, value in ((target, shape.lipschitz), (surface, steepest)):
        if value == 0:
            raise InputError(f"{expression.option}={expression.text} is constant: there is nothing to approximate.")
        if not math.isfinite(value):
            raise InputError(
                f"{expression.option}={expression.text} has an infinite slope between 0 and 1; the bounds need a "
                "finite one (sqrt(x+0.01) instead of sqrt(x))."
            )


def table(found: Found) -> list[list[str]]:
    """The rows of the section's table, one for each width."""
    w = found.widths
    columns = [
        w.errors["steps"],
        w.bounds["steps"],
        w.errors["bumps"],
        w.errors["polygon"],
        w.bounds["polygon"],
        *(w.errors[kind] for kind in TRAINED),
    ]
    return [[f"{width}", *(f"{column[k]:.3g}" for column in columns)] for k, width in enumerate(w.widths)]


def numbers_of(found: Found) -> dict[str, float]:
    """The measured values by name, for results.json."""
    w, shape = found.widths, found.shape
    numbers = {"lipschitz": shape.lipschitz, "largest_second_derivative": shape.bend}
    numbers |= {f"units_for_{GOAL}/{kind}": float(count) for kind, count in enough_units(shape).items()}
    for kind in (*BUILT, *TRAINED):
        name = kind if kind in BUILT else f"trained_{kind}"
        numbers |= {f"error/{name}/{width}": float(e) for width, e in zip(w.widths, w.errors[kind], strict=True)}
    for kind in TRAINED:
        numbers |= {f"best_eta/{kind}/{width}": eta for width, eta in zip(w.widths, w.etas[kind], strict=True)}
    numbers |= {f"slope/{kind}": value for kind in BUILT if (value := found.slope(kind)) is not None}
    t = found.towers
    return numbers | {"error/towers": t.error, "bound/towers": t.bound, "error_at_corners/towers": t.at_corners}


def enough_units(shape: Shape) -> dict[str, int]:
    """By kind, the number of hidden units for which the bound is at most `GOAL`; without the polygon where there is no
    M₂.
    """
    units = {"steps": math.ceil(shape.lipschitz / (2 * GOAL))}
    if math.isfinite(shape.bend):
        units["polygon"] = max(1, math.ceil(math.sqrt(shape.bend / (8 * GOAL))))
    return units


def oracles(found: Found, say: Say) -> tuple[Oracle, ...]:
    """What the networks are checked against: the theorem's bounds, numpy's sums, and the slopes of the errors."""
    w = found.widths

    def share(kind: str) -> float:
        return float((w.errors[kind] / (w.bounds[kind] + w.rounding)).max())

    relu = "M₂/(8n²)" if math.isfinite(found.shape.bend) else "L/(2n)"  # a function with kinks has no M₂
    held = [
        Oracle(
            "steps_bound",
            max(share("steps"), share("bumps")),
            1.0,
            say("L/(2n), steps and bumps: largest error/bound", "L/(2n), escalones y pulsos: mayor error/cota"),
        ),
        Oracle(
            "relu_bound",
            share("polygon"),
            1.0,
            say(f"{relu}, ReLU: largest error/bound", f"{relu}, ReLU: mayor error/cota"),
        ),
        Oracle(
            "network_is_the_sum",
            w.difference,
            1e-5,
            say("numpy's sums: largest difference of a network", "las sumas con numpy: mayor diferencia de una red"),
        ),
        Oracle(
            "towers_bound",
            found.towers.error / (found.towers.bound + ROUNDING * (1 + float(np.abs(found.towers.target).max()))),
            1.0,
            say(
                "max‖∇f‖ √2/(2n), towers, corners apart: largest error/bound",
                "max‖∇f‖ √2/(2n), torres, salvo esquinas: mayor error/cota",
            ),
        ),
    ]
    for kind, expected in (("steps", -1), ("polygon", -2)):
        value = found.slope(kind)
        if value is not None:
            text = say("slope −{} on log-log, {}: difference", "pendiente −{} en log-log, {}: diferencia")
            text = text.format(-expected, names(say)[kind])
            held.append(Oracle(f"slope_{kind}", abs(value - expected), 0.05, text))
    return tuple(held)


def seen(say: Say, found: Found, train_steps: int) -> str:
    """The paragraph: what was seen, beside what the lecture says."""
    w, shape, t = found.widths, found.shape, found.towers
    last = int(w.widths[-1])
    built = {kind: f"{w.errors[kind][-1]:.2g}" for kind in BUILT}
    trained = {kind: f"{w.errors[kind].min():.2g}" for kind in TRAINED}
    at = {kind: int(w.widths[w.errors[kind].argmin()]) for kind in TRAINED}
    enough = enough_units(shape)
    corner = "" if math.isnan(t.at_corners) else f"{t.at_corners:.2g}"
    steps_en, steps_es = f"{enough['steps']} steps", f"{enough['steps']} escalones"
    if "polygon" in enough:  # otherwise there is no M₂
        steps_en, steps_es = (f"{text} {enough['polygon']} ReLU" for text in (f"{steps_en} or", f"{steps_es} o"))
    holes = say(
        f" Just at the corners where four cells meet no tower is on, and the error is {corner}: holes that the usual "
        "pictures do not show.",
        f" Justo en las esquinas donde se juntan cuatro celdas ninguna torre está encendida, y el error es {corner}: "
        "agujeros que las figuras habituales no muestran.",
    )
    return say(
        "The lecture says that one hidden layer approximates any continuous function as closely as one likes, that "
        f"many units may be needed, and that this is not training. This target has L = {shape.lipschitz:.4g}: "
        f"{steps_en} units are enough for an error of {GOAL}. With {last} units the steps are off by {built['steps']}, "
        f"the bumps by {built['bumps']}, and straight pieces of ReLU by {built['polygon']}. Networks of the same "
        f"widths after {train_steps:,} steps of training (momentum, the best of {len(ETAS)} η) come to "
        f"{trained['sigmoid']} with sigmoids, at {at['sigmoid']} units, and to {trained['relu']} with ReLU, at "
        f"{at['relu']}: the theorem says that good weights exist, not that gradient descent finds them soon. In two "
        f"dimensions, {t.hidden[0]} + {t.hidden[1]} units in two hidden layers make {t.side}×{t.side} towers, off by "
        f"{t.error:.2g} (bound {t.bound:.2g})." + (holes if corner else ""),
        "La clase dice que una capa oculta aproxima cualquier función continua con precisión arbitraria, que puede "
        f"requerir muchas neuronas y que esto no es entrenar. Este objetivo tiene L = {shape.lipschitz:.4g}: "
        f"{steps_es} bastan para un error de {GOAL}. Con {last} unidades, los escalones se desvían {built['steps']}, "
        f"los pulsos {built['bumps']} y los tramos rectos de ReLU {built['polygon']}. Redes de los mismos anchos, tras "
        f"{train_steps:,} pasos de entrenamiento (momentum, la mejor de {len(ETAS)} η), llegan a {trained['sigmoid']} "
        f"con sigmoides, con {at['sigmoid']} unidades, y a {trained['relu']} con ReLU, con {at['relu']}: el teorema "
        "dice que existen buenos pesos, no que el descenso de gradiente los encuentre pronto. En dos dimensiones, "
        f"{t.hidden[0]} + {t.hidden[1]} unidades en dos capas ocultas forman {t.side}×{t.side} torres, que se desvían "
        f"{t.error:.2g} (cota {t.bound:.2g})." + (holes if corner else ""),
    )


def names(say: Say) -> dict[str, str]:
    """What each kind of network is called, in the study's language."""
    return {
        "steps": say("steps (sigmoid)", "escalones (sigmoide)"),
        "bumps": say("bumps (sigmoid)", "pulsos (sigmoide)"),
        "polygon": say("polygon (ReLU)", "poligonal (ReLU)"),
        "sigmoid": say("trained, sigmoid", "entrenada, sigmoide"),
        "relu": say("trained, ReLU", "entrenada, ReLU"),
    }


def draw_step_and_bump(say: Say) -> Figure:
    """The lecture's slides: σ(wx + b) for its w and b, and the difference of two steps."""
    from trainlab.figures.studies.approximation import step_and_bump

    x = np.linspace(-3, 3, 3001)
    slopes_ = [(f"w = {w}", logistic(w * x)) for w in (1, 10, 100)]
    places = [(f"b = {b}".replace("-", "−"), logistic(100 * x + b)) for b in (100, 0, -100)]
    first, second = logistic(100 * x + 100), logistic(100 * x - 100)
    return step_and_bump(x, slopes_, places, (first, second), say)


def draw_built(found: Found, say: Say) -> Figure:
    """The built networks of one width on the target, and the trained ones."""
    from trainlab.figures.studies.approximation import built_and_trained

    w = found.widths
    place = int(np.flatnonzero(w.widths == w.shown_width)[0])
    lines = {
        kind: (name, w.shown[kind], float(w.errors[kind][place]))
        for kind, name in names(say).items()
        if kind != "bumps"
    }
    return built_and_trained(w.grid, found.target(w.grid), w.shown["bumps"], lines, w.shown_width, say)


def draw_errors(found: Found, say: Say) -> Figure:
    """The largest error of each kind against the width, with the bounds."""
    from trainlab.figures.studies.approximation import error_against_width

    w, labels = found.widths, names(say)
    lines = [(labels[kind], w.errors[kind], w.bounds.get(kind)) for kind in (*BUILT, *TRAINED)]
    return error_against_width(w.widths, lines, say)


def draw_towers(found: Found, text: str, say: Say) -> Figure:
    """The surface and its towers beside each other. text: the surface, as typed."""
    from trainlab.figures.studies.approximation import surface_and_towers

    t = found.towers
    return surface_and_towers(t.x, t.target, t.network, raised(text), t.hidden, t.error, say)


def sweep_steepness(say: Say) -> Series:
    """σ(wx) and the bump of two of them, for several w."""

    def draw_each() -> Iterator[Figure]:
        from trainlab.figures.studies.approximation import one_steepness_each

        x = np.linspace(-3, 3, 3001)
        lines = {w: (logistic(w * x), logistic(w * (x + 1)), logistic(w * (x - 1))) for w in SWEPT_W}
        return one_steepness_each(x, lines, say)

    return Series("w", [str(w) for w in SWEPT_W], draw_each)


def sweep_units(target: Expression, say: Say) -> Series:
    """The built networks on the target, for several numbers of hidden units."""

    def draw_each() -> Iterator[Figure]:
        from trainlab.figures.studies.approximation import one_width_each

        x = np.linspace(0, 1, 2001)
        built = {n: (outputs_of(steps(target, n), x), outputs_of(polygon(target, n), x)) for n in SWEPT_N}
        return one_width_each(x, target(x), built, say)

    return Series("n", [str(n) for n in SWEPT_N], draw_each)
