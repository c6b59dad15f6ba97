"""What each trick is worth: bars of points of error, with what was published beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from trainlab.figures.style import BLUE, GREY, VERMILLION, new_figure, styled


@styled()
def worth(
    changes: Sequence[str],
    mean: Sequence[float],
    deviation: Sequence[float],
    published: Sequence[float],
    title: str = "",
    runs: int = 1,
) -> Figure:
    """What each trick is worth beside what is published.

    changes: what was done to the recipe. mean, deviation, published: points of top-1 error above the whole recipe, NaN
    for unknown.
    """
    figure = new_figure(10, 1.6 + 0.6 * len(changes), title)
    axes = figure.subplots()
    places = range(len(changes))
    spread = [0 if math.isnan(value) else value for value in deviation]
    axes.barh(places, mean, xerr=spread, color=BLUE, height=0.6, error_kw={"ecolor": GREY, "lw": 2}, label="here")
    known = [(place, value) for place, value in zip(places, published, strict=True) if not math.isnan(value)]
    if known:
        axes.plot(
            [value for _, value in known],
            [place for place, _ in known],
            linestyle="none",
            marker="D",
            markersize=10,
            color=VERMILLION,
            label="paper, ImageNet",
        )
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    axes.set_yticks(places, changes)
    axes.invert_yaxis()
    axes.axvline(0, color=GREY, linewidth=1.5)
    axes.set_xlabel(f"points of top-1 error above the whole recipe\nmean ± standard deviation of {runs} seeds")
    axes.grid(axis="x")
    return figure
