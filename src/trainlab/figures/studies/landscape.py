"""The loss around a network: contours and relief, its path, rays and eigenvalues, and the edge of stability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from trainlab.figures.style import BLUE, INK, PALE, SERIES, VERMILLION, new_slide, number, styled, tick
from trainlab.recording.section import Say

COLOURS = matplotlib.colormaps["viridis"]
LEVELS = 16
STEEP = 20.0  # highest loss by lowest: from there on the scale is logarithmic


@dataclass(frozen=True)
class Plane:
    """A loss on a plane, to be drawn.

    x, y: (X,), (Y,). loss: (Y, X). across, up: what the axes are. marks: texts and places. path: (T, 2), or None.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    across: str
    up: str
    marks: Sequence[tuple[str, float, float]] = ()
    path: np.ndarray | None = None


@styled()
def contours_and_relief(plane: Plane, say: Say) -> Figure:
    """The loss around one network as contours, and beside them as a relief."""
    figure = new_slide(plane.title)
    scale = scale_of([plane])
    grid = figure.add_gridspec(1, 2, width_ratios=[1.1, 1])
    left = figure.add_subplot(grid[0])
    drawn = contours(left, plane, scale)
    relief(figure, grid[1], plane, scale, say)
    colour_bar(figure, drawn, [left], say)
    left.set_title(say("contours", "curvas de nivel"))
    return figure


@styled()
def beside(title: str, planes: Sequence[Plane], say: Say, as_relief: bool) -> Figure:
    """The losses around two networks, with the same colours and heights."""
    figure = new_slide(title)
    scale = scale_of(planes)
    every: list[Any] = []
    drawn = None
    grid = figure.add_gridspec(1, len(planes))
    for place, plane in enumerate(planes):
        if as_relief:
            relief(figure, grid[place], plane, scale, say).set_title(plane.title)
            continue
        axes = figure.add_subplot(grid[place])
        drawn = contours(axes, plane, scale)
        axes.set_title(plane.title)
        every.append(axes)
    if drawn is not None:
        colour_bar(figure, drawn, every, say)
    return figure


def scale_of(planes: Sequence[Plane]) -> Normalize:
    """The scale of the colours, common to all planes; logarithmic where the loss changes by much."""
    values = np.concatenate([plane.loss[np.isfinite(plane.loss)] for plane in planes])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if high <= low:
        high = low + max(abs(low), 1.0) * 1e-6
    if low >= 0 and high > STEEP * low:
        return LogNorm(max(low, 1e-6 * high), high)
    return Normalize(low, high)


def levels(scale: Normalize) -> np.ndarray:
    """The heights of the contours, evenly spaced in the logarithm or in the loss."""
    assert scale.vmin is not None
    assert scale.vmax is not None
    return (np.geomspace if isinstance(scale, LogNorm) else np.linspace)(scale.vmin, scale.vmax, LEVELS)


def contours(axes: Axes, plane: Plane, scale: Normalize) -> Any:
    """Draw a surface as filled contours, with the path on it and the marked networks, if there are any."""
    loss = np.clip(np.ma.masked_invalid(plane.loss), scale.vmin, scale.vmax)
    drawn = axes.contourf(plane.x, plane.y, loss, levels=levels(scale), norm=scale, cmap=COLOURS)
    axes.contour(plane.x, plane.y, loss, levels=levels(scale), colors="white", linewidths=0.6, alpha=0.7)
    axes.set_xlabel(plane.across)
    axes.set_ylabel(plane.up)
    axes.locator_params(nbins=5)
    if plane.path is not None:
        axes.plot(*plane.path.T, color="white", linewidth=4)
        axes.plot(*plane.path.T, color=VERMILLION, linewidth=2, marker="o", markersize=4)
    for (text, x, y), marker in zip(plane.marks, ("*", "D", "o"), strict=False):
        axes.plot(
            x, y, marker=marker, markersize=18 if marker == "*" else 10, color=VERMILLION, markeredgecolor="white"
        )
        above = y < plane.y[0] + 0.9 * np.ptp(plane.y)
        inside = "right" if x > plane.x[0] + 0.75 * np.ptp(plane.x) else "left"
        axes.annotate(
            text, (x, y), (8 if inside == "left" else -8, 14 if above else -26), textcoords="offset points",
            ha=inside, fontsize=14, color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )  # fmt: skip
    return drawn


def colour_bar(figure: Figure, drawn: Any, beside: Sequence[Axes], say: Say) -> None:
    """Draw the scale of the contours' colours."""
    bar = figure.colorbar(drawn, ax=list(beside), pad=0.03, aspect=30)
    bar.ax.set_title(say("loss J", "pérdida J"), fontsize=14, pad=14)
    chosen = levels(drawn.norm)[::3]
    bar.set_ticks(list(chosen), labels=[number(float(f"{value:.2g}")) for value in chosen])
    bar.ax.minorticks_off()


def relief(figure: Figure, place: Any, plane: Plane, scale: Normalize, say: Say) -> Any:
    """Draw the loss as a height: its logarithm where the colours are logarithmic."""
    logarithmic = isinstance(scale, LogNorm)
    axes: Any = figure.add_subplot(place, projection="3d")
    assert scale.vmin is not None
    assert scale.vmax is not None
    loss = np.clip(np.where(np.isfinite(plane.loss), plane.loss, scale.vmax), scale.vmin, scale.vmax)
    heights = np.log10(loss) if logarithmic else loss
    x, y = np.meshgrid(plane.x, plane.y)
    axes.plot_surface(
        x, y, heights, facecolors=COLOURS(scale(loss)), rcount=101, ccount=101, linewidth=0, shade=True
    )  # fmt: skip
    ends = (scale.vmin, scale.vmax)
    axes.set_zlim(*(np.log10(ends) if logarithmic else ends))
    axes.zaxis.set_major_formatter(lambda value, _: number(float(f"{10**value if logarithmic else value:.2g}")))
    axes.zaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=logarithmic))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    axes.tick_params(labelsize=14, pad=2)
    axes.tick_params(axis="z", pad=8)
    axes.view_init(elev=32, azim=-58)
    axes.set_box_aspect((1, 1, 0.8), zoom=1.05)
    axes.set_title(say("as a relief", "en relieve") + (say(", logarithmic", ", logarítmico") if logarithmic else ""))
    return axes


@styled()
def path_on_its_plane(
    plane: Plane, epochs: np.ndarray, loss: np.ndarray, shown: np.ndarray, away: np.ndarray, say: Say
) -> Figure:
    """A training path on its principal plane, and its losses and distances beside.

    epochs: (T,). loss: (T,), of the weights themselves. shown: (T,), of their shadows on the plane. away: (T,), the
    distances from the plane, as shares of the longest distance from the end.
    """
    figure = new_slide(plane.title)
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    left, right = halves
    axes = left.add_subplot()
    drawn = contours(axes, plane, scale_of([plane]))
    colour_bar(left, drawn, [axes], say)
    above, below = right.subplots(2, 1, sharex=True)
    above.plot(epochs, loss, color=BLUE, marker="o", markersize=4, label=say("of the network", "de la red"))
    label = say("of its shadow on the plane", "de su sombra en el plano")
    above.plot(epochs, shown, color=VERMILLION, linestyle="--", label=label)
    if loss.max() > STEEP * loss.min() > 0:
        above.set_yscale("log")
        above.yaxis.set_minor_formatter(lambda value, _: "")
    above.yaxis.set_major_formatter(tick)
    above.set_title(say("loss J", "pérdida J"))
    above.legend(frameon=False)
    below.plot(epochs, 100 * away, color=BLUE, marker="o", markersize=4)
    below.set_ylim(0, max(1.0, 110 * away.max()))
    below.set_title(say("distance to the plane, % of the longest way", "distancia al plano, % del mayor trecho"))
    below.set_xlabel(say("epochs", "épocas"))
    for one in (above, below):
        one.grid(axis="y")
    return figure


@dataclass(frozen=True)
class Around:
    """The loss along lines through one network, and its curvatures.

    places: (N,), as shares of ‖W‖. random: (lines, N), losses. sharpest: (N,), along the sharpest direction.
    eigenvalues: the largest first. edge: the curvature beyond which descent diverges. The last three are None where
    they are not known.
    """

    name: str
    places: np.ndarray
    random: np.ndarray
    sharpest: np.ndarray | None
    eigenvalues: np.ndarray | None
    edge: float | None = None


@styled()
def rays_and_eigenvalues(every: Sequence[Around], say: Say) -> Figure:
    """The loss along straight lines through each network, and the largest eigenvalues of its Hessian."""
    figure = new_slide(
        say("What random directions see, and the sharpest one", "Lo que ven direcciones al azar, y la más empinada")
    )
    left, right = figure.subplots(1, 2)
    alone = len(every) == 1
    low = min(one.random.min() for one in every)
    high = max(float(np.nanmax(np.where(np.isfinite(one.random), one.random, np.nan))) for one in every)
    for one, colour in zip(every, cycle(SERIES), strict=False):
        for ray in one.random:
            left.plot(one.places, ray, color=colour, linewidth=0.8, alpha=0.45)
        name = "" if alone else f"{one.name}: "
        label = name + say(f"mean of {len(one.random)} random", f"media de {len(one.random)} al azar")
        left.plot(one.places, one.random.mean(axis=0), color=colour, label=label)
        if one.sharpest is not None:
            label = name + say("sharpest", "la más empinada")
            left.plot(one.places, one.sharpest, color=colour, linestyle="--", label=label)
    left.set_yscale("log")
    left.set_ylim(max(low, 1e-6 * high) / 5 ** len(every), 10 * high)
    left.locator_params(axis="x", nbins=5)
    left.yaxis.set_major_formatter(tick)
    left.set_xlabel(say("distance, in lengths of the weights", "distancia, en longitudes de los pesos"))
    left.set_title(say("loss J along straight lines", "pérdida J a lo largo de rectas"))
    left.grid(axis="y")
    left.legend(frameon=False, loc="lower center", fontsize=14, ncols=2 if alone else 1)
    known = [one for one in every if one.eigenvalues is not None]
    for place, one in enumerate(known):
        assert one.eigenvalues is not None
        width = 0.8 / len(known)
        at = np.arange(1, len(one.eigenvalues) + 1) - 0.4 + width * (place + 0.5)
        right.bar(at, one.eigenvalues, width=0.9 * width, color=SERIES[place], label=one.name)
    edges = [one.edge for one in known if one.edge is not None]
    if edges and max(edges) < 20 * max(one.eigenvalues.max() for one in known if one.eigenvalues is not None):
        right.axhline(edges[0], color=INK, linestyle="--", linewidth=1.5, label=f"2(1 + γ)/η = {edges[0]:.3g}")
    right.set_title(say("largest eigenvalues of the Hessian", "mayores valores propios de la hessiana"))
    right.set_xlabel(say("eigenvalue, from the largest on", "valor propio, desde el mayor"))
    right.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    right.yaxis.set_major_formatter(tick)
    right.grid(axis="y")
    if known and (not alone or len(right.lines)):
        right.legend(frameon=False, fontsize=14)
    return figure


@styled()
def edge_of_stability(runs: Sequence[tuple[float, np.ndarray, np.ndarray, np.ndarray]], say: Say) -> Figure:
    """Loss and largest eigenvalue over the steps of full-batch descents.

    runs: η, the loss (steps + 1,), and the steps (S,) at which λ_max (S,) was measured.
    """
    figure = new_slide(
        say("Full-batch descent at the edge of stability", "Descenso con todos los datos, al borde de la estabilidad")
    )
    left, right = figure.subplots(1, 2)
    for (eta, loss, at, sharpness), colour in zip(runs, cycle(SERIES), strict=False):
        left.plot(loss, color=colour, linewidth=1.5, label=f"η = {eta:g}")
        right.plot(at, sharpness, color=colour, linewidth=2, label=f"λ₁, η = {eta:g}")
    for (eta, *_), colour in zip(runs, cycle(SERIES), strict=False):  # after the others: a column of the legend
        right.axhline(2 / eta, color=colour, linestyle="--", linewidth=1.5, label=f"2/η = {2 / eta:.3g}")
    left.set_yscale("log")
    left.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(tick)
    left.yaxis.set_minor_formatter(lambda value, _: "")
    left.set_title(say("loss J = ½ mean squared error", "pérdida J = ½ error cuadrático medio"))
    right.set_title(say("largest eigenvalue λ₁ of the Hessian", "mayor valor propio λ₁ de la hessiana"))
    right.set_ylim(0, 1.7 * max(2 / eta for eta, *_ in runs))
    for axes in (left, right):
        axes.set_xlabel(say("steps of gradient descent", "pasos de descenso de gradiente"))
        axes.grid(axis="y", color=PALE)
        axes.legend(frameon=False, fontsize=14, ncols=2 if axes is right else 1, loc="upper right")
    return figure
