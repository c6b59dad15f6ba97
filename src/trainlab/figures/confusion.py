"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from trainlab.figures.style import BLUE, GREY, INK, PALE, VERMILLION, new_figure, percent, shorten, styled

NUMBERED = 20  # up to this many classes every cell has its count
NAME_LENGTH = 20  # characters
TICKS = 20  # names along each side when there are more classes than that
CELLS = 100  # along each side; of more classes, neighbours share a cell, or none could be seen


def _colours(counts: np.ndarray) -> np.ndarray:
    """float64 (K, K, 3) in [0, 1]: blue for what is right, vermillion for mistakes, white for none.

    The depth is the square root of the share of the true class: with a plain share, a mistake made in 3 %
    of the cases could not be told from white. A class without examples is a grey row.
    """
    totals = counts.sum(axis=1, keepdims=True)
    depth = np.sqrt(counts / np.maximum(totals, 1))[..., None]
    hue = np.where(np.eye(len(counts), dtype=bool)[..., None], to_rgb(BLUE), to_rgb(VERMILLION))
    return np.where(totals[..., None] == 0, to_rgb(PALE), 1 - depth * (1 - hue))


@styled()
def confusion_matrix(counts: Tensor, classes: Sequence[str], title: str = "") -> Figure:
    """A matrix with a row for each true class and a column for each prediction.

    counts: int64 (K, K), examples of class `row` that were predicted as `column`. classes: K names.
    The title ends with the overall error. Up to 20 classes have their counts written into the cells and
    their own error to the right of the row; more have colours only and a name here and there. Of more than
    100, neighbouring classes are added up to groups, and blue is what stayed within its group.
    """
    table = counts.detach().cpu().numpy()
    size = len(table)
    assert table.shape == (size, size) == (len(classes),) * 2, f"{table.shape} counts, {len(classes)} classes"
    total, right = int(table.sum()), int(np.trace(table))
    summary = f"error {percent(1 - right / total)} ({total - right:,} of {total:,})" if total else "no examples"
    figure = new_figure(11, 9.6, f"{title}: {summary}" if title else summary.capitalize())
    axes = figure.subplots()
    group = max(1, -(-size // CELLS))
    starts = np.arange(0, size, group)
    grouped = np.add.reduceat(np.add.reduceat(table, starts, axis=0), starts, axis=1)
    end = len(starts) * group - 0.5  # the last group may be smaller than the others
    axes.imshow(_colours(grouped), interpolation="nearest", extent=(-0.5, end, end, -0.5))
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted" if group == 1 else f"predicted (a cell is {group} × {group} classes)")
    axes.set_ylabel("truth")

    step = 1 if size <= NUMBERED else -(-size // TICKS)
    shown = range(0, size, step)
    names = [shorten(classes[index], NAME_LENGTH) for index in shown]
    font = 14 if size <= 12 else 11
    axes.set_yticks(shown, names, fontsize=font)
    flat = max(map(len, names)) * len(names) <= 50
    axes.set_xticks(
        shown,
        names,
        fontsize=font,
        rotation=0 if flat else 45,
        ha="center" if flat else "right",
        rotation_mode="anchor",
    )
    if size > NUMBERED:
        return figure

    _write_counts(axes, table, font)
    return figure


def _write_counts(axes: Axes, table: np.ndarray, font: float) -> None:
    """Each cell's count into it, and each class's own error to the right of its row. table: int64 (K, K)."""
    size = len(table)
    axes.tick_params(length=0)
    edges = np.arange(size + 1) - 0.5
    axes.hlines(edges, -0.5, size - 0.5, color="white", linewidth=2)
    axes.vlines(edges, -0.5, size - 0.5, color="white", linewidth=2)
    # The largest count decides: some 6.5 inches hold `size` cells, a digit is 0.64 of the font size wide.
    widest = len(f"{table.max():,}") if size else 1
    digits = min(20.0, 0.85 * 6.5 * 72 / size / (0.64 * widest))
    for row, column in np.argwhere(table > 0):
        share = table[row, column] / table[row].sum()
        axes.text(
            column,
            row,
            f"{table[row, column]:,}",
            ha="center",
            va="center",
            fontsize=digits,
            color="white" if share > 0.45 else INK,
            weight="bold" if row != column else "normal",
        )
    beside = axes.get_yaxis_transform()  # x in widths of the matrix, y in rows
    axes.text(1.02, 1.01, "error", transform=axes.transAxes, va="bottom", fontsize=font, color=GREY)
    for row, (count, total_of_row) in enumerate(zip(table.diagonal(), table.sum(axis=1), strict=True)):
        error = percent(1 - count / total_of_row) if total_of_row else "–"
        axes.text(1.02, row, error, transform=beside, va="center", fontsize=font)
