"""Paths of gradient descent on the contours of a paraboloid, and J against the steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from trainlab.figures.style import GREY, INK, PALE, SERIES, new_slide, styled, tick
from trainlab.recording.section import Say


@styled()
def paths_on_contours(
    paths: Sequence[tuple[float, np.ndarray, np.ndarray]],
    hessian: np.ndarray,
    solution: np.ndarray,
    least: float,
    say: Say,
) -> Figure:
    """paths: η, the weights (T, 2) and J (T,) of each. The surface is least + ½ (w − solution)ᵀ hessian (w − solution).

    A path that leaves the picture is drawn up to there.
    """
    figure = new_slide(
        say("Gradient descent: a slow, a good and a divergent η", "Descenso de gradiente: η lenta, buena y divergente")
    )
    left, right = figure.subplots(1, 2)
    first = paths[0][1][0]
    reach = 1.25 * np.abs(first - solution).max()
    grid = np.linspace(-reach, reach, 201)
    offsets = np.stack(np.meshgrid(grid, grid), axis=-1)
    surface = least + 0.5 * np.einsum("...i,ij,...j->...", offsets, hessian, offsets)
    left.contour(
        solution[0] + grid, solution[1] + grid, surface, levels=least + surface.max() * np.linspace(0, 1, 14)[1:] ** 2,
        colors=PALE, linewidths=1.2,
    )  # fmt: skip
    for number_of_path, ((eta, weights, loss), colour) in enumerate(zip(paths, cycle(SERIES), strict=False)):
        label = f"η = {eta:.3g}"
        above = 3 - 0.1 * number_of_path  # a divergent path crosses all others
        left.plot(*weights.T, color=colour, marker="o", markersize=4, linewidth=1.2, label=label, zorder=above)
        right.plot(loss, color=colour, label=label)
    left.plot(
        *solution, marker="*", color=INK, markersize=16, linestyle="none", label=say("closed form", "forma cerrada")
    )
    left.set_xlim(solution[0] - reach, solution[0] + reach)
    left.set_ylim(solution[1] - reach, solution[1] + reach)
    left.set_xlabel(say("slope", "pendiente"))
    left.set_ylabel(say("intercept", "intercepto"))
    left.set_title(say("w on the contours of J", "w sobre las curvas de nivel de J"))
    right.set_yscale("log")
    right.yaxis.set_major_formatter(tick)
    right.axhline(least, color=GREY, linestyle="--", linewidth=1.5, label=say("least J", "J mínimo"))
    right.set_xlabel(say("steps", "pasos"))
    right.set_ylabel("J(w)")
    right.set_title(say("J against the steps", "J según los pasos"))
    right.grid(axis="y")
    left.legend(frameon=False, loc="upper right")
    return figure
