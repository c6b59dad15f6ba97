"""Momentum: paths and errors in a ravine, where a step is stable, balls on real relief, and the loss of an MLP."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LightSource, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from trainlab.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    SERIES,
    VERMILLION,
    new_slide,
    number,
    percent,
    styled,
    tick,
)
from trainlab.recording.section import Say

Errors = tuple[float, np.ndarray, np.ndarray]  # κ; the errors (T,) of gradient descent and of momentum
Land = tuple[np.ndarray, np.ndarray, np.ndarray]  # heights (H, W), longitudes (W,) and latitudes (H,), ascending
FATES = (BLUE, VERMILLION, PALE, ORANGE)  # in the sea, in a pit, off the map, under way
LAND = LinearSegmentedColormap.from_list("land", ["#DDE5C8", "#EFE6CF", "#D9C2A0", "#FFFFFF"])
WATER = LinearSegmentedColormap.from_list("water", ["#A9C8DE", "#E3F0F7"])
METRES_PER_DEGREE = 111_195.0  # of latitude
PIXELS = 500  # of a map, each way
PANEL = 1.15  # width of the map's panel for its height
SHOWN_STEPS = 45  # of the paths in the ravine


@styled()
def ravine(path: np.ndarray, momentum_path: np.ndarray, kappa: float, errors: Sequence[Errors], say: Say) -> Figure:
    """The ways through a ravine with and without momentum, and the errors for each κ.

    path, momentum_path: float64 (T, 2) on ½(θ₁² + κθ₂²), from (1, 1). errors: κ, and both errors against the steps.
    """
    figure = new_slide(
        say(
            "In a ravine, momentum needs about √κ steps instead of κ",
            "En un barranco, momentum da unos √κ pasos en vez de κ",
        )
    )
    left, right = figure.subplots(1, 2)
    wide = 1.1 * max(np.abs(path[:, 1]).max(), np.abs(momentum_path[:, 1]).max())
    across, along = np.meshgrid(np.linspace(-wide, wide, 201), np.linspace(-0.75, 1.1, 201))
    surface = (along**2 + kappa * across**2) / 2
    left.contour(
        across, along, surface, levels=surface.max() * np.linspace(0, 1, 14)[1:] ** 2, colors="#C9C9C9", linewidths=1.2
    )
    for label, walked, colour in (
        (say("gradient descent", "descenso de gradiente"), path, SERIES[0]),
        (say("momentum", "momentum"), momentum_path, SERIES[1]),
    ):
        shown = walked[:SHOWN_STEPS]
        left.plot(shown[:, 1], shown[:, 0], color=colour, marker="o", markersize=4, linewidth=1.2, label=label)
    left.plot(0, 0, marker="*", color=INK, markersize=16, linestyle="none", zorder=4)
    left.set_xlabel(say("across the ravine (curvature κ)", "a través del barranco (curvatura κ)"))
    left.set_ylabel(say("along it (curvature 1)", "a lo largo de él (curvatura 1)"))
    left.set_title(
        say(
            f"κ = {kappa:g}, each with its best η (and γ)",
            f"κ = {kappa:g}, cada uno con su mejor η (y γ)",
        )
    )
    left.legend(loc="lower right", framealpha=1, edgecolor="white", fontsize=14)
    for (curvature, slow, fast), colour in zip(errors, SERIES[2:] + SERIES[:2], strict=False):
        right.plot(np.arange(1, len(slow)), slow[1:], color=colour, linestyle="--", linewidth=2)
        right.plot(np.arange(1, len(fast)), fast[1:], color=colour, label=f"κ = {number(curvature)}")
    right.plot([], [], color=GREY, linestyle="--", linewidth=2, label=say("gradient descent", "desc. de gradiente"))
    right.plot([], [], color=GREY, label=say("momentum", "momentum"))
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_ylim(1e-6, 500 * max(fast.max() for _, _, fast in errors))  # room for the legend
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(tick)
    right.set_xlabel(say("steps", "pasos"))
    right.set_ylabel(say("error, of what it was", "error, respecto del inicial"))
    right.set_title(say("steps to a millionth of the error", "pasos hasta una millonésima del error"))
    right.grid()
    right.legend(loc="upper right", ncols=2, framealpha=1, edgecolor="white", fontsize=14)
    return figure


@styled()
def stability(
    etas: np.ndarray, gammas: Sequence[float], radius: Sequence[np.ndarray], bounds: Sequence[float], say: Say
) -> Figure:
    """The spectral radius of a step against ηλ.

    etas: ηλ, float64 (E,). radius: (E,), for each γ. bounds: the ηλ from which on each diverges, by bisection.
    """
    figure = new_slide(say("Momentum is stable up to η = 2(1 + γ)/λ", "Momentum es estable hasta η = 2(1 + γ)/λ"))
    axes = figure.subplots()
    axes.axhspan(1, 1.4, color=PALE, alpha=0.6, linewidth=0)
    axes.axhline(1, color=GREY, linewidth=1.5)
    axes.text(0.04, 1.17, say("diverges", "diverge"), color=GREY, fontsize=16)
    for gamma, found, bound, colour in zip(gammas, radius, bounds, SERIES, strict=False):
        axes.plot(etas, found, color=colour, label=f"γ = {gamma:g}")
        axes.plot(bound, 1, marker="o", markersize=11, color=colour, markeredgecolor="white", zorder=4, clip_on=False)
    axes.plot(
        [], [], marker="o", markersize=11, color=GREY, linestyle="none",
        label=say("where it begins to diverge, by bisection", "donde comienza a divergir, por bisección"),
    )  # fmt: skip
    axes.set_xlim(0, etas[-1])
    axes.set_ylim(0, 1.25)
    axes.set_xlabel("ηλ")
    axes.set_ylabel(say("factor of a step, in the long run", "factor de un paso, a la larga"))
    axes.set_title(
        say(
            "spectral radius of the optimizer's step; on the flat parts it is √γ, whatever η and λ",
            "radio espectral del paso del optimizador; en los tramos planos es √γ, sin importar η ni λ",
        )
    )
    axes.legend(loc="lower right", frameon=False)
    return figure


@styled()
def relief_paths(
    land: Land,
    paths: Sequence[tuple[float, np.ndarray]],
    shares: Sequence[tuple[str, Sequence[float]]],
    starts: int,
    say: Say,
) -> Figure:
    """One ball's way for each γ on the map, and bars of what became of all balls.

    land: heights (H, W) in metres, longitudes (W,) and latitudes (H,) in degrees. paths: γ and the places (T, 2) of one
    ball from one start. shares: for each row of the bars its name and the shares of the four fates. starts: how many
    balls.
    """
    by_sea = land[0].min() <= 0
    title = say("Who reaches the sea?", "¿Quién llega al mar?")
    figure = new_slide(title if by_sea else say("Who gets out of the pits?", "¿Quién sale de los pozos?"))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    draw_land(left, land, around(np.concatenate([path for _, path in paths]), land))
    for place, ((gamma, path), colour) in enumerate(zip(paths, SERIES, strict=False)):
        above = 4 - 0.1 * place  # those with less momentum go less far; several may end in one pit
        left.plot(*path.T, color=colour, linewidth=2.2, label=f"γ = {gamma:g}", zorder=above - 1)
        left.plot(
            *path[-1], marker="o", markersize=8 + 3.5 * place, color=colour, markeredgecolor="white", zorder=above
        )
    left.plot(*paths[0][1][0], marker="*", markersize=18, color=INK, linestyle="none", zorder=5)
    left.set_title(say("one start (★), equal η", "un inicio (★), igual η"))
    left.legend(loc="best", framealpha=0.9, edgecolor="white", fontsize=14)
    names = fates_of(say)
    rows = np.arange(len(shares))
    begun = np.zeros(len(shares))
    for fate, (name, colour) in enumerate(zip(names, FATES, strict=True)):
        widths = np.array([row[fate] for _, row in shares])
        right.barh(rows, widths, left=begun, color=colour, label=name, height=0.7)
        for row, (start, width) in enumerate(zip(begun, widths, strict=True)):
            if width >= 0.075:
                text = f"{100 * width:.0f} %"
                ink = INK if colour in (PALE, ORANGE) else "white"
                right.text(start + width / 2, row, text, ha="center", va="center", color=ink, fontsize=14)
        begun += widths
    right.set_yticks(rows, [name for name, _ in shares], fontsize=15)
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).replace(".0", "")))
    right.set_title(say(f"what became of {starts:,} balls", f"qué fue de {starts:,} bolitas"))
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, frameon=False, fontsize=14)
    return figure


@styled()
def relief_ends(
    land: Land,
    ends: Sequence[tuple[float, np.ndarray, np.ndarray]],
    say: Say,
) -> Figure:
    """Where all balls end, for two γ.

    land: as in `relief_paths`. ends: for each γ the places (N, 2), and the fates (N,).
    """
    figure = new_slide(say("Where the balls are in the end", "Dónde terminan las bolitas"))
    names = fates_of(say)
    for axes, (gamma, places, fates) in zip(figure.subplots(1, len(ends), squeeze=False)[0], ends, strict=True):
        draw_land(axes, land)
        for fate, (name, colour) in enumerate(zip(names, FATES, strict=True)):
            there = places[fates == fate]
            axes.plot(
                *there.T, marker="o", markersize=5, linestyle="none", color=colour,
                markeredgecolor=GREY if colour == PALE else "white", markeredgewidth=0.5, label=name,
            )  # fmt: skip
        axes.set_title(f"γ = {gamma:g}")
    figure.set_layout_engine("constrained", rect=(0, 0.1, 1, 0.9))
    handles = axes.get_legend_handles_labels()
    legend = figure.legend(
        *handles, loc="lower center", bbox_to_anchor=(0.5, 0.035), ncols=4, frameon=False, markerscale=2
    )
    legend.set_in_layout(False)  # it has its place below the maps
    return figure


def fates_of(say: Say) -> tuple[str, ...]:
    """What can become of a ball, in the study's language, in the order of the numbers of its fates."""
    return (
        say("in the sea", "en el mar"),
        say("in a pit", "en un pozo"),
        say("off the map", "fuera del mapa"),
        say("under way", "en camino"),
    )


def draw_land(axes: Axes, land: Land, window: tuple[float, float, float, float] | None = None) -> None:
    """A map in degrees with the coast, shaded by a light in the north-west, interpolated as the balls see it.

    window: west, east, south, north; None: all of it.
    """
    heights, longitude, latitude = land
    west, east, south, north = window or (longitude[0], longitude[-1], latitude[0], latitude[-1])
    x, y = np.linspace(west, east, PIXELS), np.linspace(south, north, PIXELS)
    along = np.array([np.interp(x, longitude, row) for row in heights])
    seen = np.array([np.interp(y, latitude, column) for column in along.T]).T
    shrink = math.cos(math.radians((south + north) / 2))
    dx, dy = (x[1] - x[0]) * shrink * METRES_PER_DEGREE, (y[1] - y[0]) * METRES_PER_DEGREE
    steep = float(np.percentile(np.hypot(*np.gradient(seen, dy, dx)), 95)) or 1.0
    light = LightSource(315, 45).hillshade(seen[::-1], vert_exag=0.5 / steep, dx=dx, dy=dy)[::-1]
    low, high, deep = max(float(heights.min()), 0.0), float(heights.max()), min(float(heights.min()), -1.0)
    above = LAND(np.clip((seen - low) / max(high - low, 1.0), 0, 1))[..., :3] * (0.5 + 0.5 * light)[..., None]
    below = WATER(np.clip(1 - seen / deep, 0, 1))[..., :3]
    colour = np.clip(np.where((seen > 0)[..., None], above, below), 0, 1)
    axes.pcolormesh(x, y, colour, shading="nearest", rasterized=True)
    if seen.min() < 0 < seen.max():
        axes.contour(x, y, seen, levels=[0], colors=GREY, linewidths=0.8)
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(1 / shrink)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: degrees((value + 180) % 360 - 180)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: degrees(value)))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def degrees(value: float) -> str:
    """A number of degrees for an axis, such as "−123.5°"."""
    return f"{value:.6g}°".replace("-", "−")


def around(places: np.ndarray, land: Land) -> tuple[float, float, float, float]:
    """West, east, south and north of a picture of PANEL's shape with these places (N, 2) in it, inside the map."""
    _, longitude, latitude = land
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    shrink = math.cos(math.radians(middle[1]))
    width, height = (places.max(axis=0) - places.min(axis=0)) * 1.3
    high = max(height, width * shrink / PANEL, 6 * float(np.diff(latitude).mean()))
    limits = []
    for extent, centre, degrees_of in ((high * PANEL / shrink, middle[0], longitude), (high, middle[1], latitude)):
        extent = min(extent, degrees_of[-1] - degrees_of[0])
        start = min(max(centre - extent / 2, degrees_of[0]), degrees_of[-1] - extent)
        limits += [float(start), float(start + extent)]
    return limits[0], limits[1], limits[2], limits[3]


@styled()
def network_curves(
    panels: Sequence[tuple[str, Sequence[tuple[float, float, np.ndarray]]]], seeds: int, say: Say
) -> Figure:
    """Training losses with and without momentum, the mean and the range over the seeds.

    panels: a title, and γ, η and losses (seeds, epochs + 1) of each curve.
    """
    figure = new_slide(
        say("Momentum on an MLP: digits, training loss", "Momentum en un MLP: dígitos, pérdida de entrenamiento")
    )
    for axes, (title, curves) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for (gamma, eta, losses), colour in zip(curves, SERIES, strict=False):
            epochs = np.arange(losses.shape[1])
            axes.fill_between(epochs, losses.min(0), losses.max(0), color=colour, alpha=0.2, linewidth=0)
            label = f"η = {eta:.3g}, γ = {gamma:g}" if gamma else f"η = {eta:.3g}"
            axes.plot(epochs, losses.mean(0), color=colour, label=label)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(tick)
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.set_xlabel(say("epochs", "épocas"))
        axes.set_title(title)
        axes.grid(axis="y")
        axes.legend(frameon=False, fontsize=14, loc="lower left")
    figure.axes[0].set_ylabel(
        say(f"cross-entropy (mean and range of {seeds} seeds)", f"entropía cruzada (media y rango, {seeds} semillas)")
    )
    return figure
