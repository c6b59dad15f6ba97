"""What a sweep shows: errors against the swept value, curves for each value, times to a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from trainlab.figures.style import BLUE, GREY, INK, VERMILLION, new_figure, number, styled, tick

# Okabe and Ito's other colours, in the order in which they are easiest to tell apart.
SERIES = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK, GREY)
MOST_LABELS = 9  # of values beside each other at an axis
MOST_INSIDE = 6  # lines whose names stand among them, and not beside the figure
STRENGTH = LinearSegmentedColormap.from_list("strength", ["#A6CDE6", BLUE, "#00263D"])  # weak to strong


@dataclass(frozen=True)
class Series:
    """A metric at each of the swept values: mean and standard deviation, NaN for one run. beside: the name of the
    series that this one is to be compared with, in whose colour it is drawn, dashed.
    """

    name: str
    mean: Sequence[float]
    deviation: Sequence[float]
    beside: str | None = None


@styled()
def errors_against(
    option: str,
    values: Sequence[object],
    errors: Sequence[Series],
    norms: Sequence[Series] = (),
    training: Sequence[Series] = (),
    runs: int = 1,
) -> Figure:
    """Errors (fractions) and, where given, training errors and weight norms against the value of one option, a panel
    for each; bands are ± one deviation.

    values: in the order given, evenly spaced, as a sweep over decades wants it; many numbers have an axis of their own,
    logarithmic where they are.
    """
    panels: list[tuple[str, Sequence[Series]]] = [("test error in %" if training else "error in %", _percent(errors))]
    panels += [("training error in %", _percent(training))] if training else []
    panels += [("norm of the weights ‖W‖", norms)] if norms else []
    aside = 3.5 if len(panels[-1][1]) > MOST_INSIDE else 0  # inches, for the names
    figure = new_figure(6.8 * len(panels) + 1 + aside, 5.6)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (label, series) in zip(axes, panels, strict=True):
        _against(ax, option, values, series, label)
    if len(panels[-1][1]) > MOST_INSIDE:
        axes[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if training:
        top = max(axes[0].get_ylim()[1], axes[1].get_ylim()[1])
        axes[0].set_ylim(0, top)
        axes[1].set_ylim(0, top)
    if runs > 1:
        axes[0].set_title(f"mean ± standard deviation of {runs} seeds", loc="left", color=GREY, fontsize=14)
    return figure


@styled()
def norms_against(option: str, values: Sequence[object], norms: Sequence[Series], runs: int = 1) -> Figure:
    """Weight norms against the value of one option, as `errors_against`."""
    figure = new_figure(7.8, 5.6)
    axes = figure.subplots()
    _against(axes, option, values, norms, "norm of the weights ‖W‖")
    if len(norms) > MOST_INSIDE:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if runs > 1:
        axes.set_title(f"mean ± standard deviation of {runs} seeds", loc="left", color=GREY, fontsize=14)
    return figure


def _percent(series: Sequence[Series]) -> list[Series]:
    return [
        replace(one, mean=[100 * v for v in one.mean], deviation=[100 * v for v in one.deviation]) for one in series
    ]


def _against(axes: Axes, option: str, values: Sequence[object], series: Sequence[Series], label: str) -> None:
    places = _set_values(axes, values)
    colours = dict(zip((s.name for s in series if s.beside is None), _colours(len(series)), strict=False))
    size = 8 if len(values) <= MOST_LABELS else 5
    highest = 0.0
    for one in series:
        mean, deviation = np.array(one.mean, float), np.nan_to_num(np.array(one.deviation, float))
        low = np.maximum(mean - deviation, 0)  # no error and no norm is less
        if one.beside is None:
            axes.fill_between(places, low, mean + deviation, color=colours[one.name], alpha=0.18, linewidth=0)
            axes.plot(places, mean, color=colours[one.name], marker="o", markersize=size, label=one.name)
        else:
            colour = colours[one.beside]
            axes.fill_between(places, low, mean + deviation, color=colour, alpha=0.08, linewidth=0)
            axes.plot(places, mean, color=colour, linewidth=1.8, linestyle=(0, (4, 2)))
        if np.isfinite(mean).any():
            highest = max(highest, float(np.nanmax(mean + deviation)))
    for name in dict.fromkeys(one.name for one in series if one.beside is not None):
        axes.plot([], [], color=INK, linewidth=1.8, linestyle=(0, (4, 2)), label=name)
    axes.set_ylim(0, 1.08 * highest or 1)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(option)
    axes.set_ylabel(label)
    axes.grid(axis="y")
    if 1 < len(series) <= MOST_INSIDE:
        axes.legend(frameon=False)


def _set_values(axes: Axes, values: Sequence[object]) -> np.ndarray:
    """Give the x axis its ticks; returns where each value is."""
    scale = scale_of(values)
    if scale == "even":
        labels = [number(v) if isinstance(v, int | float) else str(v) for v in values]
        places = np.arange(len(values))
        every = -(-len(labels) // MOST_LABELS)
        axes.set_xticks(places[::every], labels[::every])
        return places
    places = np.array(values, float)
    axes.set_xscale(scale)
    if scale == "log":
        decades = np.log10(places.max() / places.min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades <= 2 else (1, 3) if decades <= 4 else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_LABELS))
    axes.xaxis.set_major_formatter(tick)
    return places


def scale_of(values: Sequence[object]) -> str:
    """How values lie on an axis: "even", with a label for each, up to MOST_LABELS of them; more numbers by their value,
    on a "log" or "linear" axis, where their ratios, or differences, are about alike.
    """
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != len(values) or len(values) <= MOST_LABELS:
        return "even"
    for scale, steps in (("log", np.diff(np.log(numbers)) if min(numbers) > 0 else None), ("linear", np.diff(numbers))):
        if steps is not None and steps.min() > 0 and steps.max() < 2 * steps.min():
            return scale
    return "even"


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
