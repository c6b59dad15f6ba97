"""Paths of gradient descent on the contours of a paraboloid, and J against the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainlab.figures.style import BLUE, GREY, INK, PALE, SERIES, new_frame, new_slide, styled, tick
from trainlab.recording.section import Say


@styled()
def paths_on_contours(
    paths: Sequence[tuple[float, np.ndarray, np.ndarray]],
    hessian: np.ndarray,
    solution: np.ndarray,
    least: float,
    say: Say,
) -> Figure:
    """Descents on the contours of a paraboloid, and J against the steps.

    paths: η, the weights (T, 2) and J (T,) of each; one that leaves the picture is drawn up to there. The surface is
    least + ½ (w − solution)ᵀ hessian (w − solution), with hessian (2, 2) and solution (2,).
    """
    figure = new_slide(
        say("Gradient descent: a slow, a good and a divergent η", "Descenso de gradiente: η lenta, buena y divergente")
    )
    left, right = figure.subplots(1, 2)
    contours(left, paths[0][1][0], hessian, solution, least)
    for number_of_path, ((eta, weights, loss), colour) in enumerate(zip(paths, cycle(SERIES), strict=False)):
        label = f"η = {eta:.3g}"
        above = 3 - 0.1 * number_of_path  # a divergent path crosses all others
        left.plot(*weights.T, color=colour, marker="o", markersize=4, linewidth=1.2, label=label, zorder=above)
        right.plot(loss, color=colour, label=label)
    left.plot(
        *solution, marker="*", color=INK, markersize=16, linestyle="none", label=say("closed form", "forma cerrada")
    )
    name(left, right, say)
    right.axhline(least, color=GREY, linestyle="--", linewidth=1.5, label=say("least J", "J mínimo"))
    left.legend(frameon=False, loc="upper right")
    return figure


def one_path_each(
    paths: Sequence[tuple[float, np.ndarray, np.ndarray]],
    hessian: np.ndarray,
    solution: np.ndarray,
    least: float,
    say: Say,
) -> Iterator[Figure]:
    """As `paths_on_contours`, with one path after the other in one figure that is redrawn."""
    with styled():
        figure, title = new_frame("η")
        left, right = figure.subplots(1, 2)
        contours(left, paths[0][1][0], hessian, solution, least)
        left.plot(*solution, marker="*", color=INK, markersize=16, linestyle="none")
        (on_surface,) = left.plot([], [], color=BLUE, marker="o", markersize=4, linewidth=1.2)
        (against_steps,) = right.plot([], [], color=BLUE)
        name(left, right, say)
        right.axhline(least, color=GREY, linestyle="--", linewidth=1.5)
        highest = max(float(np.nanmax(loss)) for _, _, loss in paths)  # one that diverges may end in no number
        right.set_xlim(0, max(len(loss) for _, _, loss in paths) - 1)
        right.set_ylim(0.8 * least if least > 0 else None, 1.25 * min(highest, 1e3 * paths[0][2][0]))
    for eta, weights, loss in paths:
        title.set_text(f"η = {eta:.3g}")
        on_surface.set_data(*weights.T)
        against_steps.set_data(range(len(loss)), loss)
        yield figure


def contours(ax: Axes, first: np.ndarray, hessian: np.ndarray, solution: np.ndarray, least: float) -> None:
    """Draw the contours of a paraboloid, so far that `first`, (2,), is inside; see `paths_on_contours`."""
    reach = 1.25 * np.abs(first - solution).max()
    grid = np.linspace(-reach, reach, 201)
    offsets = np.stack(np.meshgrid(grid, grid), axis=-1)
    surface = least + 0.5 * np.einsum("...i,ij,...j->...", offsets, hessian, offsets)
    ax.contour(
        solution[0] + grid, solution[1] + grid, surface, levels=least + surface.max() * np.linspace(0, 1, 14)[1:] ** 2,
        colors=PALE, linewidths=1.2,
    )  # fmt: skip
    ax.set_xlim(solution[0] - reach, solution[0] + reach)
    ax.set_ylim(solution[1] - reach, solution[1] + reach)


def name(left: Axes, right: Axes, say: Say) -> None:
    """Give both panels their labels."""
    left.set_xlabel(say("slope", "pendiente"))
    left.set_ylabel(say("intercept", "intercepto"))
    left.set_title(say("w on the contours of J", "w sobre las curvas de nivel de J"))
    right.set_yscale("log")
    right.yaxis.set_major_formatter(tick)
    right.set_xlabel(say("steps", "pasos"))
    right.set_ylabel("J(w)")
    right.set_title(say("J against the steps", "J según los pasos"))
    right.grid(axis="y")
