"""Decision regions of many networks on sets of points: a row for each set, a column for each strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from trainlab.figures.points import BACKGROUND, CLASS_COLOURS
from trainlab.figures.style import GREY, INK, new_figure, styled


@dataclass(frozen=True)
class Panel:
    """The decision regions of one network. probability, reference: float (R, R), of class 1, rows by ascending y;
    extent: x and y limits.
    """

    probability: Tensor
    extent: tuple[float, float, float, float]
    train_points: Tensor
    train_labels: Tensor
    test_points: Tensor
    test_labels: Tensor
    note: str
    reference: np.ndarray | None = None


@styled()
def grid_of_regions(
    panels: Sequence[Sequence[Panel | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
    note: str = "",
) -> Figure:
    """A grid of decision regions. panels: by row and column; None for a point that is missing. The dashed line is the
    reference's boundary.
    """
    figure = new_figure(3.1 * len(columns) + 0.6, 3.1 * len(rows) + 1.3, title)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, row in enumerate(panels):
        for j, panel in enumerate(row):
            ax = axes[i][j]
            ax.set_xticks([])
            ax.set_yticks([])
            if i == 0:
                ax.set_title(columns[j])
            if j == 0:
                ax.set_ylabel(rows[i])
            if panel is None:
                ax.text(0.5, 0.5, "missing", transform=ax.transAxes, ha="center", color=GREY)
                continue
            values = panel.probability.numpy()
            ax.imshow(values, origin="lower", extent=panel.extent, cmap=BACKGROUND, vmin=0, vmax=1, aspect="auto")
            left, right, bottom, top = panel.extent
            xs, ys = np.linspace(left, right, values.shape[1]), np.linspace(bottom, top, values.shape[0])
            for field, style in ((values, "solid"), (panel.reference, "dashed")):
                if field is not None and field.min() < 0.5 < field.max():
                    ax.contour(xs, ys, field, levels=[0.5], colors=INK, linewidths=1.8, linestyles=style)
            for points, labels, alpha in (
                (panel.test_points, panel.test_labels, 0.35),
                (panel.train_points, panel.train_labels, 1.0),
            ):
                for label, colour in enumerate(CLASS_COLOURS):
                    chosen = points[labels == label]
                    edge = "white" if alpha == 1 else "none"
                    ax.scatter(
                        chosen[:, 0], chosen[:, 1], s=22, color=colour, alpha=alpha, edgecolors=edge, linewidths=0.6
                    )
            ax.text(0.97, 0.03, panel.note, transform=ax.transAxes, ha="right", va="bottom", fontsize=13)
    if note:
        figure.supxlabel(note, fontsize=14, color=GREY)
    return figure
