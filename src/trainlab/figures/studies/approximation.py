"""Steps, bumps and towers, and how the error falls with the width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from trainlab.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    SERIES,
    SKY,
    VERMILLION,
    fitting_size,
    new_frame,
    new_slide,
    number,
    styled,
    tick,
)
from trainlab.recording.section import Say

Line = tuple[str, np.ndarray]


@styled()
def step_and_bump(
    x: np.ndarray,
    slopes: Sequence[Line],
    places: Sequence[Line],
    steps: tuple[np.ndarray, np.ndarray],
    say: Say,
) -> Figure:
    """How steps and a bump come of sigmoids.

    x: (N,). slopes, places: the label and σ(wx + b), (N,), of several w and of several b. steps: the two whose
    difference is the bump, (N,) each.
    """
    figure = new_slide(say("From a sigmoid to a step to a bump", "De una sigmoide a un escalón y a un pulso"))
    axes = figure.subplots(1, 3, sharey=True)
    for ax, lines in zip(axes, (slopes, places), strict=False):
        for (label, values), colour in zip(lines, SERIES, strict=False):
            ax.plot(x, values, color=colour, label=label)
    first, second = steps
    axes[2].plot(x, first, color=BLUE, linestyle="--", linewidth=1.5, label="σ(100x + 100)")
    axes[2].plot(x, second, color=GREEN, linestyle="--", linewidth=1.5, label="σ(100x − 100)")
    axes[2].fill_between(x, first - second, color=ORANGE, alpha=0.35, linewidth=0)
    axes[2].plot(x, first - second, color=VERMILLION, label=say("their difference", "su diferencia"))
    titles = (
        say("σ(wx), steeper", "σ(wx), más empinada"),
        say("σ(100x + b), step at −b/100", "σ(100x + b), escalón en −b/100"),
        say("step − step = bump", "escalón − escalón = pulso"),
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=fitting_size(title, 16, 3.7))
        ax.set_xlabel("x")
        ax.set_ylim(-0.05, 1.55)
        ax.set_yticks([0, 0.5, 1])
        ax.legend(frameon=False, loc="upper left", fontsize=14)
    return figure


@styled()
def built_and_trained(
    x: np.ndarray,
    target: np.ndarray,
    bumps: np.ndarray,
    lines: Mapping[str, tuple[str, np.ndarray, float]],
    width: int,
    say: Say,
) -> Figure:
    """A target and the networks that approximate it, in three panels.

    x, target, bumps: (N,). lines: by "steps", "polygon", "sigmoid" and "relu" the name, the outputs (N,) and the
    largest error of a network of `width` hidden units.
    """
    figure = new_slide(
        say(f"{width} hidden units: built and trained", f"{width} unidades ocultas: construidas y entrenadas")
    )
    axes = figure.subplots(1, 3, sharey=True)
    cells = width // 2
    axes[0].fill_between(x, bumps, color=SKY, alpha=0.35, linewidth=0, label=say(f"{cells} bumps", f"{cells} pulsos"))
    panels = (("steps",), ("polygon",), ("sigmoid", "relu"))
    colours = {"steps": BLUE, "polygon": GREEN, "sigmoid": ORANGE, "relu": VERMILLION}
    titles = (say("steps and bumps", "escalones y pulsos"), say("pieces of ReLU", "tramos de ReLU"))
    for ax, kinds, title in zip(axes, panels, (*titles, say("trained", "entrenadas")), strict=True):
        ax.plot(x, target, color=INK, linewidth=1.5, label=say("target", "objetivo") if ax is axes[0] else None)
        for kind in kinds:
            name, outputs, error = lines[kind]
            short = name.split(", ")[-1].split(" (")[0]
            label = short + say(", off by ", ", se desvía ") + number(float(f"{error:.2g}"))
            ax.plot(x, outputs, color=colours[kind], linewidth=2, label=label)
        ax.set_title(title)
        ax.set_xlabel("x")
        ax.legend(frameon=False, loc="upper left", fontsize=14)
    low, high = min(target.min(), 0.0), target.max()
    axes[0].set_ylim(low - 0.15 * (high - low), high + 0.45 * (high - low))
    return figure


@styled()
def error_against_width(
    widths: np.ndarray, lines: Sequence[tuple[str, np.ndarray, np.ndarray | None]], say: Say
) -> Figure:
    """The largest error of each kind of network against its hidden units, and its bound as a dashed line.

    widths: (K,). lines: the name, the largest errors (K,), and the bound (K,) or None.
    """
    figure = new_slide(say("The largest error against the width", "El mayor error según el ancho"))
    ax = figure.subplots()
    markers = ("o", "s", "D", "^", "v")
    colours = (BLUE, SKY, GREEN, ORANGE, VERMILLION)
    for (name, errors, bound), colour, marker in zip(lines, colours, markers, strict=True):
        ax.plot(widths, np.maximum(errors, 1e-17), color=colour, marker=marker, markersize=8, label=name)
        if bound is not None:
            ax.plot(widths, np.maximum(bound, 1e-17), color=colour, linestyle="--", linewidth=1.5)
    ax.plot([], [], color=GREY, linestyle="--", linewidth=1.5, label=say("bound", "cota"))
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(tick)
    ax.set_xlabel(say("hidden units", "unidades ocultas"))
    ax.set_ylabel("max |f − " + say("network", "red") + "|")
    ax.grid(axis="y")
    figure.legend(*ax.get_legend_handles_labels(), frameon=False, loc="outside right center")
    return figure


@styled()
def surface_and_towers(
    x: np.ndarray, target: np.ndarray, network: np.ndarray, text: str, hidden: tuple[int, int], error: float, say: Say
) -> Figure:
    """A surface and the towers that approximate it, beside each other.

    x: (S,), of both sides. target, network: (S, S), [i, j] at (x_i, x_j). text: the surface's formula. hidden: units of
    the two layers. error: the largest, away from the corners.
    """
    figure = new_slide(
        say(
            f"Towers: two hidden layers of {hidden[0]} and {hidden[1]} units",
            f"Torres: dos capas ocultas de {hidden[0]} y {hidden[1]} unidades",
        )
    )
    first, second = np.meshgrid(x, x, indexing="ij")
    low, high = min(0.0, target.min()), target.max()
    titles = (text, say(f"network, off by {error:.2g} at most", f"red, se desvía a lo más {error:.2g}"))
    for place, (values, title) in enumerate(zip((target, network), titles, strict=True)):
        ax = figure.add_subplot(1, 2, place + 1, projection="3d")
        ax.plot_surface(
            first, second, values, cmap="viridis", vmin=low, vmax=high, rcount=121, ccount=121, linewidth=0,
            antialiased=False,
        )  # fmt: skip
        ax.set_title(title, fontsize=fitting_size(title, 16, 5.6))
        ax.set_xlabel("x", labelpad=12)
        ax.set_ylabel("y", labelpad=12)
        ax.set_zlim(low, high)
        ax.view_init(elev=35, azim=-60)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([0, 0.5, 1])
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.pane.set_facecolor("white")
            axis.pane.set_edgecolor(PALE)
    return figure


def one_steepness_each(
    x: np.ndarray, lines: Mapping[int, tuple[np.ndarray, np.ndarray, np.ndarray]], say: Say
) -> Iterator[Figure]:
    """A step and a bump, for one w after the other: one figure that is redrawn.

    x: (N,). lines: by w, σ(wx) and the two steps of a bump, (N,) each.
    """
    with styled():
        figure, title = new_frame("w")
        left, right = figure.subplots(1, 2, sharey=True)
        (step,) = left.plot(x, x, color=BLUE)
        ups = [right.plot(x, x, color=colour, linestyle="--", linewidth=1.5)[0] for colour in (BLUE, GREEN)]
        (bump,) = right.plot(x, x, color=VERMILLION)
        for ax, text in ((left, "σ(wx)"), (right, "σ(w(x + 1)) − σ(w(x − 1))")):
            ax.set_title(text)
            ax.set_xlabel("x")
            ax.set_ylim(-0.05, 1.1)
            ax.set_yticks([0, 0.5, 1])
    for w, (one, *two) in lines.items():
        title.set_text(say(f"w = {w}: a step, and a bump of two", f"w = {w}: un escalón, y un pulso de dos"))
        step.set_ydata(one)
        for line, values in zip(ups, two, strict=True):
            line.set_ydata(values)
        bump.set_ydata(two[0] - two[1])
        yield figure


def one_width_each(
    x: np.ndarray, target: np.ndarray, built: Mapping[int, tuple[np.ndarray, np.ndarray]], say: Say
) -> Iterator[Figure]:
    """The staircase and the polygon, for one number of hidden units after the other: one figure that is redrawn.

    x, target: (N,). built: by hidden units, the outputs of both, (N,) each.
    """
    with styled():
        figure, title = new_frame("n")
        axes = figure.subplots(1, 2, sharey=True)
        lines, labels = [], []
        for ax, text, colour in zip(
            axes, (say("steps", "escalones"), say("pieces of ReLU", "tramos de ReLU")), (BLUE, GREEN), strict=True
        ):
            ax.plot(x, target, color=INK, linewidth=1.5)
            lines.append(ax.plot(x, target, color=colour, linewidth=2)[0])
            labels.append(ax.text(0.03, 0.95, "", transform=ax.transAxes, va="top"))
            ax.set_title(text)
            ax.set_xlabel("x")
        low, high = min(target.min(), 0.0), target.max()
        axes[0].set_ylim(low - 0.15 * (high - low), high + 0.35 * (high - low))
    for units, outputs in built.items():
        title.set_text(say(f"n = {units} hidden units", f"n = {units} unidades ocultas"))
        for line, label, values in zip(lines, labels, outputs, strict=True):
            line.set_ydata(values)
            label.set_text(say("off by ", "se desvía ") + number(float(f"{np.abs(values - target).max():.2g}")))
        yield figure
