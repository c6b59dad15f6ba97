"""A sweep over two options: the error of each pair of values as a colour, and where it is least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from trainlab.figures.style import GREY, INK, PALE, VERMILLION, new_figure, styled, tick

COLOURS = matplotlib.colormaps["cividis_r"]  # even to the eye, also with colour blindness, and in grey; pale is good
WIDE_RANGE = 5.0  # largest error by least, from which on colours go by ratios
LEAST_WIDTH = 0.6  # inches of a cell that has room for its number
SIGNS = 80  # of 14 points beside each other below the map


@dataclass(frozen=True)
class Map:
    """What a heat map shows. across, down: the options' names. columns, rows: their values as people write them, in
    ascending order. errors: float (rows, columns), fractions, NaN where no run has finished. incomplete: bool, the same
    shape: some run has not. chosen: for each row the column that is chosen, None for none. best: row and column of the
    best of these. curve: a line of reference, for each row its column, fractions of one included.
    """

    across: str
    down: str
    columns: Sequence[str]
    rows: Sequence[str]
    errors: np.ndarray
    incomplete: np.ndarray
    chosen: Sequence[int | None] = ()
    best: tuple[int, int] | None = None
    curve: Sequence[float] = ()


@styled()
def heat_map(shown: Map, title: str, note: str = "") -> Figure:
    """A cell for each pair of values, rows upwards. The chosen columns are joined, the best cell has a frame. title,
    note: small, above and below.
    """
    count = len(shown.columns)
    figure = new_figure(12.8, 7.2)
    axes = figure.subplots()
    percent = 100 * np.asarray(shown.errors, float)
    norm = _norm(percent)
    axes.set_facecolor(PALE)
    image = axes.imshow(np.ma.masked_invalid(percent), origin="lower", cmap=COLOURS, norm=norm, aspect="auto")
    _numbers(axes, shown, percent, norm, written=9.5 / count >= LEAST_WIDTH)
    _lines(axes, shown)
    axes.set_xticks(range(count), _thinned(shown.columns))
    axes.set_yticks(range(len(shown.rows)), shown.rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(-0.5, len(shown.rows) - 0.5)
    axes.set_xlabel(shown.across)
    axes.set_ylabel(shown.down)
    axes.set_title(title, loc="left", color=GREY, fontsize=14)
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=30)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.yaxis.set_major_formatter(tick)
    bar.ax.yaxis.set_minor_formatter("")
    if isinstance(norm, LogNorm):
        bar.set_ticks([t for t in _round_numbers() if norm.vmin <= t <= norm.vmax])  # type: ignore[operator]
    bar.set_label("test error in %")
    if note:
        figure.supxlabel(note, fontsize=13, color=GREY)
    return figure


def _norm(percent: np.ndarray) -> Normalize:
    """Colours by the values, or by their ratios where one is many times another."""
    finite = percent[np.isfinite(percent)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low > 0 and high > WIDE_RANGE * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)


def _round_numbers() -> list[float]:
    return [float(f"{digit}e{power}") for power in range(-2, 3) for digit in (1, 2, 3, 5)]


def _numbers(axes: Axes, shown: Map, percent: np.ndarray, norm: Normalize, *, written: bool) -> None:
    """The error in each cell that has room for it; a dash where there is none, a star where runs are missing."""
    for (row, column), value in np.ndenumerate(percent):
        star = "*" if shown.incomplete[row, column] else ""
        if np.isnan(value):
            axes.text(column, row, "–" + star, ha="center", va="center", color=GREY)
            continue
        if not written:
            continue
        colour = COLOURS(norm(value))
        dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
        is_chosen = row < len(shown.chosen) and shown.chosen[row] == column
        text = (f"{value:.1f}" if value < 10 else f"{value:.0f}") + star
        edge = VERMILLION if is_chosen else "none"
        box = {
            "facecolor": colour,
            "edgecolor": edge,
            "linewidth": 2.5,
            "boxstyle": "round,pad=0.25",
        }  # above the lines
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=14,
            color="white" if dark else INK,
            weight="bold" if is_chosen else "normal",
            bbox=box,
            zorder=4,
        )


def _lines(axes: Axes, shown: Map) -> None:
    """What joins the chosen cells, the line of reference, and the best cell's frame."""
    joined = [(column, row) for row, column in enumerate(shown.chosen) if column is not None]
    if len(shown.curve):
        on_dark = [withStroke(linewidth=4, foreground="white")]
        dots: Any = {"color": INK, "linestyle": (0, (1, 1.5)), "linewidth": 2.5, "path_effects": on_dark}
        axes.plot(shown.curve, range(len(shown.curve)), zorder=2, **dots)
    if joined:
        axes.plot(*zip(*joined, strict=True), color=VERMILLION, linewidth=3, zorder=3)
    if shown.best is not None:
        row, column = shown.best
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=VERMILLION, linewidth=4, zorder=5)
        axes.add_patch(frame)


def _thinned(labels: Sequence[str]) -> list[str]:
    """Every label, or every second, third, … so that neighbours have room beside each other."""
    room = SIGNS / len(labels)  # in signs, of one cell

    def fit(every: int) -> bool:
        kept = labels[::every]
        return all((len(one) + len(other)) / 2 + 1 <= every * room for one, other in pairwise(kept))

    every = next(every for every in range(1, len(labels) + 1) if fit(every))
    return [label if place % every == 0 else "" for place, label in enumerate(labels)]
