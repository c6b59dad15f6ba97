"""What more pictures cost: memory and start-up stay, an epoch grows in proportion."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from trainlab.figures.style import BLUE, GREY, new_figure, styled, tick


@styled()
def growth(
    images: Sequence[int], memory_mb: Sequence[float], rest: Sequence[float], epoch: Sequence[float], title: str = ""
) -> Figure:
    """Memory and time against the size of a packed set.

    images: of the training set. memory_mb: at the peak, 10⁶ bytes. epoch, rest: seconds of the epoch and of the rest of
    the command. A dashed line is what growth in proportion would be.
    """
    figure = new_figure(13, 4.8, title)
    panels = figure.subplots(1, 3)
    for axes, values, what in zip(
        panels,
        ([value / 1000 for value in memory_mb], rest, epoch),
        ("peak memory, GB", "start and end of a run, s", "one epoch, s"),
        strict=True,
    ):
        axes.plot(images, values, color=BLUE, marker="o", markersize=9)
        axes.set_xscale("log")
        axes.set_xticks(images, [f"{count // 1000}k" for count in images])
        axes.minorticks_off()
        axes.set_xlabel("packed pictures")
        axes.set_title(what)
        axes.grid(axis="y")
    for axes in panels[:2]:
        axes.set_ylim(0, 2 * axes.get_ylim()[1])
    panels[2].set_yscale("log")
    panels[2].yaxis.set_major_formatter(tick)
    last = epoch[-1] / images[-1]
    panels[2].plot(images, [last * count for count in images], color=GREY, linestyle="--", linewidth=1.5, zorder=0)
    return figure
