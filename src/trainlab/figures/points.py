"""Two classes in the plane, and what a network makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from trainlab.figures.style import BLUE, GREY, INK, VERMILLION, new_figure, styled, tick

CLASS_COLOURS = (BLUE, VERMILLION)
# Paler than the points, which must stand out from it.
BACKGROUND = LinearSegmentedColormap.from_list("plane", ["#9CC8E6", "white", "#F5B98C"], N=257)


@styled()
def decision_regions(
    probability: Tensor,
    extent: tuple[float, float, float, float],
    train_points: Tensor,
    train_labels: Tensor,
    test_points: Tensor,
    test_labels: Tensor,
    title: str = "",
) -> Figure:
    """The plane coloured by the probability of class 1, its boundary at 1/2, and the points.

    probability: float (R, R) in [0, 1]; [i, j] belongs to the i-th y and the j-th x, both ascending.
    extent: (x_min, x_max, y_min, y_max), the first and last x and y of that grid, as from linspace.
    train_points, test_points: float (N, 2), columns x and y; train_labels, test_labels: int64 (N,), 0 or 1.
    N may be 0. Training points are solid, test points translucent.
    """
    values = probability.detach().float().cpu().numpy()
    x_min, x_max, y_min, y_max = extent
    xs = np.linspace(x_min, x_max, values.shape[1])
    ys = np.linspace(y_min, y_max, values.shape[0])
    # A value is the colour of a small rectangle around its point, so the image reaches half a step further.
    half_x, half_y = (xs[1] - xs[0]) / 2, (ys[1] - ys[0]) / 2

    # One unit is as long in x as in y; 1.6 inches for the texts above and below.
    height = 7.5 * (y_max - y_min) / (x_max - x_min)
    figure = new_figure(8.5, min(max(height, 3.0), 9.0) + 1.6, title)
    axes = figure.subplots()
    axes.imshow(
        values,
        origin="lower",
        extent=(x_min - half_x, x_max + half_x, y_min - half_y, y_max + half_y),
        cmap=BACKGROUND,
        vmin=0,
        vmax=1,
        interpolation="bilinear",
    )
    if values.min() < 0.5 < values.max():
        axes.contour(xs, ys, values, levels=[0.5], colors=INK, linewidths=2.5)
    _scatter(axes, test_points, test_labels, "test", alpha=0.35, edgecolors="none")
    _scatter(axes, train_points, train_labels, "train", alpha=1.0, edgecolors="white")
    axes.set_xlim(x_min, x_max)
    axes.set_ylim(y_min, y_max)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        axis.set_major_formatter(tick)
    axes.set_xlabel("solid: training points, translucent: test points", color=GREY)
    axes.set_title("class 0", loc="left", color=BLUE, weight="bold")
    axes.set_title("class 1", loc="right", color=VERMILLION, weight="bold")
    return figure


def _scatter(axes: Axes, points: Tensor, labels: Tensor, name: str, **style: Any) -> None:
    """The points of both classes in their colours."""
    where = points.detach().cpu().numpy()
    which = labels.detach().cpu().numpy()
    for label, colour in enumerate(CLASS_COLOURS):
        chosen = where[which == label]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=60, color=colour, linewidths=1, label=f"{name} {label}", **style)
