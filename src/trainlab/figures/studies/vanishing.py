"""The gradient in each layer of many networks: by layer, as a map, and beside the recursions of the variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainlab.figures.style import GREY, INK, PALE, SERIES, new_slide, number, styled, tick
from trainlab.recording.section import Say


@styled()
def norms_by_layer(
    panels: Mapping[str, Sequence[np.ndarray]], init: str, moment: str, limits: tuple[float, float], say: Say
) -> Figure:
    """The gradient's norm in each layer, a line for each depth, a panel for each activation.

    panels: by activation, the norms (L,) of networks of several depths L. limits: of the axis, the same before and
    after training. What is exactly 0 is drawn on the floor.
    """
    figure = new_slide(say("The gradient in each layer", "El gradiente en cada capa") + f", {init}, {moment}")
    axes = figure.subplots(1, len(panels), sharey=True)
    decades = np.arange(np.floor(np.log10(limits[0])), np.ceil(np.log10(limits[1])) + 1)
    decades = decades[:: -max(1, len(decades) // 7)][::-1]
    floor = 10.0 ** (decades[0] - max(1, len(decades) // 7))
    some_zero = any((norms == 0).any() for lines in panels.values() for norms in lines)
    colours = colormaps["viridis_r"]
    for ax, (activation, lines) in zip(axes, panels.items(), strict=True):
        for position, norms in enumerate(lines):
            colour = colours(0.15 + 0.85 * position / max(1, len(lines) - 1))
            layers = np.arange(1, len(norms) + 1)
            ax.plot(layers, np.maximum(norms, floor), color=colour, marker="o", markersize=6, label=str(len(norms)))
        ax.set_yscale("log")
        ax.set_ylim((floor if some_zero else limits[0]) / 2, 3 * limits[1])
        ax.set_yticks([*([floor] if some_zero else []), *10.0**decades], minor=False)
        ax.minorticks_off()
        deepest = max(len(norms) for norms in lines)
        ax.set_xticks(range(2, deepest + 1, max(2, 2 * (deepest // 12))))
        ax.set_title(activation)
        ax.set_xlabel(say("layer", "capa"))
        ax.grid(axis="y")
    axes[0].yaxis.set_major_formatter(lambda value, _: "0" if value <= 2 * floor else number(value))
    axes[0].set_ylabel("‖∂J/∂W‖")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        title=say("layers", "capas"), frameon=False, loc="outside right center", title_fontsize=16,
    )  # fmt: skip
    return figure


@styled()
def first_layer_map(
    activations: Sequence[str],
    inits: Sequence[str],
    depth: int,
    norms: tuple[np.ndarray, np.ndarray],
    accuracy: np.ndarray,
    say: Say,
) -> Figure:
    """The gradient in the first layer as a map, activation × initialisation, before and after an epoch.

    norms: before and after, (activations, inits) each. accuracy: after it, of the same shape.
    """
    figure = new_slide(
        say(
            f"The gradient that arrives in the first of {depth} layers",
            f"El gradiente que llega a la primera de {depth} capas",
        )
    )
    axes = figure.subplots(2, 1)
    positive = np.concatenate([n[n > 0] for n in norms])
    scale = LogNorm(positive.min(initial=1e-3), max(1.0, positive.max(initial=0)))
    colours = colormaps["cividis"].copy()
    colours.set_bad(PALE)
    titles = (
        say("before training", "antes de entrenar"),
        say("after an epoch, and digits right in the test", "tras una época, y aciertos en test"),
    )
    for ax, values, title in zip(axes, norms, titles, strict=True):
        picture = ax.imshow(np.ma.masked_equal(values, 0), norm=scale, cmap=colours, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            text = number(float(f"{value:.1e}"))
            if values is norms[1]:
                text += f"  ({100 * accuracy[i, j]:.0f} %)"
            dark = value > 0 and scale(value) < 0.55
            ax.text(j, i, text, ha="center", va="center", color="white" if dark else INK)
        ax.set_xticks(range(len(inits)), inits)
        ax.set_yticks(range(len(activations)), activations)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    bar = figure.colorbar(picture, ax=axes, label="‖∂J/∂W₁‖", aspect=30)
    bar.ax.yaxis.set_major_formatter(tick)
    return figure


@styled()
def recursion_and_networks(
    lines: Sequence[tuple[str, Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]]],
    source: str,
    networks: int,
    say: Say,
) -> Figure:
    """Mean squares in each layer, of the networks and of the recursion.

    lines: for each initialisation its name and, of the values and of the gradients, what the recursion says (L,), the
    mean of the networks as a multiple of that (L,), and its standard error (L,). source: of the recursion.
    """
    figure = new_slide(
        say(
            f"{source}: the recursion and the mean of {networks} networks",
            f"{source}: la recursión y la media de {networks} redes",
        )
    )
    forwards, backwards, beside = figure.subplots(1, 3)
    for position, ((init, both), colour) in enumerate(zip(lines, SERIES, strict=False)):
        for ax, first, (predicted, ratio, _) in zip((forwards, backwards), (1, 0), both, strict=True):
            layers = np.arange(first, first + len(predicted))
            ax.plot(layers, predicted, color=colour, linewidth=1.5)
            ax.plot(layers, predicted * ratio, color=colour, marker="o", markersize=7, linestyle="none", label=init)
        _, ratio, error = both[1]
        beside.errorbar(
            np.arange(len(ratio)) + 0.18 * (position - 1.5), ratio, 1.96 * error,
            color=colour, fmt="o", markersize=4, elinewidth=1.5,
        )  # fmt: skip
    forwards.set_title(say("Values x, forwards", "Valores x, hacia adelante"))
    backwards.set_title(say("Gradient by x, backwards", "Gradiente por x, hacia atrás"))
    beside.set_title(say("Gradient: mean ÷ recursion", "Gradiente: media ÷ recursión"))
    forwards.set_ylabel(say("mean square per unit", "cuadrado medio por unidad"))
    for ax in (forwards, backwards):
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(tick)
        ax.grid(axis="y")
    for ax in (forwards, backwards, beside):
        ax.set_xlabel(say("layer", "capa"))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    forwards.plot([], [], color=GREY, linewidth=1.5, label=say("recursion", "recursión"))
    forwards.legend(frameon=False, loc="lower left")
    beside.axhline(1, color=GREY, linewidth=1.5, zorder=0)
    low, high = beside.get_ylim()
    beside.set_ylim(low, high + 0.2 * (high - low))
    beside.text(
        0.03, 0.97, say("bars: ± 1.96\nstandard errors", "barras: ± 1.96\nerrores estándar"),
        transform=beside.transAxes, va="top",
    )  # fmt: skip
    return figure
