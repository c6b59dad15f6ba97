"""Loss and error over the epochs of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from trainlab.figures.style import BLUE, GREY, INK, VERMILLION, new_figure, number, percent, styled, tick

SETS = (("train", "train", BLUE), ("val", "validation", VERMILLION))
MARKED = 30  # a curve of at most this many points shows each of them
LOG_DECADES = 1.5  # a loss that spans more than this is drawn on a logarithmic scale
LEAST_LOG = 1e-100  # nor one with losses so near zero that the margins of a logarithmic scale would vanish
LABEL_HEIGHT = 0.075  # of a label at the end of a curve, as a fraction of the panel

Curve = tuple[list[float], list[float]]


def _curve(rows: Sequence[Mapping[str, float]], key: str) -> Curve:
    """Epochs and values where `key` was measured and finite."""
    epochs, values = [], []
    for index, row in enumerate(rows):
        value = row.get(key, math.nan)
        if math.isfinite(value):
            epochs.append(float(row.get("epoch", index + 1)))
            values.append(float(value))
    return epochs, values


def _best_epoch(rows: Sequence[Mapping[str, float]]) -> float | None:
    """The first epoch with the lowest validation error, or the lowest loss where no error was measured."""
    for key in ("val/top1_error", "val/loss"):
        epochs, values = _curve(rows, key)
        if values:
            return epochs[values.index(min(values))]
    return None


def _limit_epochs(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    epochs = [float(row.get("epoch", index + 1)) for index, row in enumerate(rows)] or [1.0]
    first, last = min(epochs), max(epochs)
    margin = 0.02 * (last - first) or 0.5  # one epoch stands in the middle
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(tick)
    axes.set_xlabel("epoch")


def _limit_values(axes: Axes, values: list[float], log: bool) -> None:
    low, high = min(values), max(values)
    axes.yaxis.set_major_formatter(tick)
    if log:
        decades = math.log10(high / low)
        axes.set_yscale("log")
        axes.set_ylim(low / 10 ** (0.05 * decades), high * 10 ** (0.05 * decades))
        steps = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(tick)
    elif low >= 0:
        axes.set_ylim(0, 1.08 * high or 1)  # from zero, so that heights can be compared
    else:
        margin = 0.08 * (high - low) or 1
        axes.set_ylim(low - margin, high + margin)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names right of the panel at the height where each curve ends, moved apart where they would overlap."""
    to_panel = axes.transData + axes.transAxes.inverted()
    heights = [float(to_panel.transform((0, value))[1]) for value, _, _ in ends]
    if len(ends) == 2 and abs(heights[0] - heights[1]) < LABEL_HEIGHT:
        middle = sum(heights) / 2
        up = LABEL_HEIGHT / 2 if heights[0] > heights[1] else -LABEL_HEIGHT / 2
        heights = [middle + up, middle - up]
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        axes.text(1.02, height, name, color=colour, transform=axes.transAxes, va="center", weight="bold")


def _panel(axes: Axes, rows: Sequence[Mapping[str, float]], key: str, scale: float, best: float | None) -> None:
    _limit_epochs(axes, rows)
    curves = {}
    for short, name, colour in SETS:
        epochs, values = _curve(rows, f"{short}/{key}")
        if values:
            curves[name] = (epochs, [scale * value for value in values], colour)
    if not curves:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return

    everything = [value for _, values, _ in curves.values() for value in values]
    log = key == "loss" and min(everything) > LEAST_LOG and math.log10(max(everything) / min(everything)) > LOG_DECADES
    _limit_values(axes, everything, log)
    axes.grid(axis="y")
    for name, (epochs, values, colour) in curves.items():
        marker = "o" if len(values) <= MARKED else None
        # Thousands of epochs are noise around a trend: a thinner line shows more of it.
        width = 2.5 if len(values) <= 1000 else 1.2
        axes.plot(epochs, values, color=colour, label=name, marker=marker, markersize=7, linewidth=width)
    _label_ends(axes, [(values[-1], name, colour) for name, (_, values, colour) in curves.items()])

    if best is not None and "validation" in curves:
        epochs, values, _ = curves["validation"]
        if best in epochs:
            axes.plot(
                [best],
                [values[epochs.index(best)]],
                label="best",
                linestyle="none",
                marker="o",
                markersize=13,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=3,
                clip_on=False,  # an error of zero lies on the axis
                zorder=5,
            )


@styled()
def learning_curves(rows: Sequence[Mapping[str, float]], title: str = "") -> Figure:
    """Two panels: the loss, and the error in percent; training against validation.

    rows: one per epoch, with any of the keys epoch, train/loss, val/loss, train/top1_error, val/top1_error
    (errors as fractions in [0, 1]). A key that is missing or not finite is a measurement that was not made;
    the curve joins those that were. Without the key epoch, rows count from 1.

    The ring marks the validation epoch with the lowest error (the first of equals; the lowest loss where
    there is no error), the same epoch in both panels.
    """
    figure = new_figure(13, 5.6, title)
    loss, error = figure.subplots(1, 2)
    best = _best_epoch(rows)
    _panel(loss, rows, "loss", 1.0, best)
    _panel(error, rows, "top1_error", 100.0, best)

    loss.set_title("Loss" + (" (log scale)" if loss.get_yscale() == "log" else ""), loc="left")
    error.set_title("Error in %", loc="left")
    if best is not None:
        epochs, errors = _curve(rows, "val/top1_error")
        where = f"epoch {number(best)}"
        if errors:
            text = f"○ best: {percent(errors[epochs.index(best)])}, {where}"
            error.set_title(text, loc="right")
        else:
            loss.set_title(f"○ best: {where}", loc="right")

    # A run that diverged: the curve ends, and the figure says why.
    measured, _ = _curve(rows, "train/loss")
    last = measured[-1] if measured else -math.inf
    recorded = [
        (float(row.get("epoch", i + 1)), row["train/loss"]) for i, row in enumerate(rows) if "train/loss" in row
    ]
    broken = [epoch for epoch, value in recorded if epoch > last and not math.isfinite(value)]
    if broken:
        text = f"not finite from epoch {number(broken[0])}"
        # Right of the end of the curve nothing is drawn, and half-way up it is clear of a last steep rise.
        loss.text(0.98, 0.5, text, transform=loss.transAxes, ha="right", va="center", color=BLUE)
    return figure
