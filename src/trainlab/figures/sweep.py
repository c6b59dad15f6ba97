"""What a sweep shows: errors against the swept value, curves for each value, times to a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainlab.figures.style import BLUE, GREY, INK, VERMILLION, new_figure, number, styled, tick

# Okabe and Ito's other colours, in the order in which they are easiest to tell apart.
SERIES = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK, GREY)
STRENGTH = LinearSegmentedColormap.from_list("strength", ["#A6CDE6", BLUE, "#00263D"])  # weak to strong


@dataclass(frozen=True)
class Series:
    """A metric at each of the swept values: mean and standard deviation, NaN for one run."""

    name: str
    mean: Sequence[float]
    deviation: Sequence[float]


@styled()
def errors_against(
    option: str,
    values: Sequence[object],
    errors: Sequence[Series],
    norms: Sequence[Series] = (),
    title: str = "",
    runs: int = 1,
) -> Figure:
    """Errors (fractions) and, where given, weight norms against the value of one option; bands are ± one deviation.

    values: their labels, drawn evenly spaced in the order given, as a sweep over decades wants it.
    """
    panels = 2 if norms else 1
    figure = new_figure(6.8 * panels + 1, 5.6, title)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _against(axes[0], option, values, [_scaled(s, 100) for s in errors], "error in %")
    if norms:
        _against(axes[1], option, values, norms, "norm of the weights ‖W‖")
    if runs > 1:
        axes[0].set_title(f"mean ± standard deviation of {runs} seeds", loc="left", color=GREY, fontsize=14)
    return figure


def _scaled(series: Series, by: float) -> Series:
    return Series(series.name, [by * v for v in series.mean], [by * v for v in series.deviation])


def _against(axes: Axes, option: str, values: Sequence[object], series: Sequence[Series], label: str) -> None:
    places = np.arange(len(values))
    highest = 0.0
    for one, colour in zip(series, _colours(len(series)), strict=True):
        mean, deviation = np.array(one.mean, float), np.nan_to_num(np.array(one.deviation, float))
        axes.fill_between(places, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0)
        axes.plot(places, mean, color=colour, marker="o", markersize=8, label=one.name)
        if np.isfinite(mean).any():
            highest = max(highest, float(np.nanmax(mean + deviation)))
    axes.set_xticks(places, [number(v) if isinstance(v, int | float) else str(v) for v in values])
    axes.set_ylim(0, 1.08 * highest or 1)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(option)
    axes.set_ylabel(label)
    axes.grid(axis="y")
    if len(series) > 1:
        axes.legend(frameon=False)


def _colours(count: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(count)]


@styled()
def curves_of(
    what: str,
    groups: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]],
    title: str = "",
    target: float | None = None,
    ordered: bool = True,
) -> Figure:
    """One curve for each value: the mean over its runs, and each run as a thin line.

    groups: by name, (epochs, errors as fractions) of each run. ordered: the names stand for a strength, weak to
    strong, and so do the colours. target: a horizontal line.
    """
    figure = new_figure(11, 6, title)
    axes = figure.subplots()
    names = list(groups)
    strong = max(1, len(names) - 1)
    colours = [STRENGTH(i / strong) for i in range(len(names))] if ordered and len(names) > 2 else _colours(len(names))
    highest = 0.0
    for name, colour in zip(names, colours, strict=True):
        runs = [(list(x), [100 * v for v in y]) for x, y in groups[name] if len(x)]
        for epochs, errors in runs:
            axes.plot(epochs, errors, color=colour, linewidth=1, alpha=0.45)
            highest = max(highest, *errors)
        epochs, mean = mean_curve(runs)
        marker = "o" if len(epochs) <= 30 else None
        axes.plot(epochs, mean, color=colour, label=name, marker=marker, markersize=7)
    if target is not None:
        axes.axhline(100 * target, color=GREY, linestyle=(0, (4, 3)), linewidth=1.5)
        axes.annotate(
            f"{100 * target:g} %", (1.01, 100 * target), xycoords=("axes fraction", "data"), va="center", color=GREY
        )
    axes.set_ylim(0, 1.05 * highest or 1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{what} in %")
    axes.grid(axis="y")
    if any(names):
        axes.legend(frameon=False, loc="upper right", ncols=1 + (len(names) > 6))
    return figure


def mean_curve(runs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], list[float]]:
    """The mean of several runs' curves, over the epochs that every run has."""
    if not runs:
        return [], []
    common = sorted(set(runs[0][0]).intersection(*(set(x) for x, _ in runs[1:])))
    by_epoch = [dict(zip(x, y, strict=True)) for x, y in runs]
    return common, [math.fsum(run[e] for run in by_epoch) / len(runs) for e in common]
