"""Published errors on ImageNet: year by year, and the table of 2012 beside what the lecture says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from trainlab.figures.style import BLUE, GREY, INK, ORANGE, PALE, SKY, VERMILLION, new_slide, styled
from trainlab.recording.section import Say

Row = tuple[str, float, str]  # year and name; error in %; kind
WINNER, ALEXNET, NETWORK, PERSON = "winner", "alexnet", "network", "person"
COLOURS = {WINNER: "#B9C4CC", ALEXNET: BLUE, NETWORK: ORANGE, PERSON: INK}
MANY = 18  # rows that have room for larger letters


@styled()
def errors_by_year(rows: Sequence[Row], lines: Sequence[tuple[str, float]], measure: str, say: Say) -> Figure:
    """A bar for each published result, in the order of the rows.

    lines: what the lecture says, which has no year. measure: "top5" or "top1". Errors in %.
    """
    which = measure.replace("top", "top-")
    figure = new_slide(say(f"ImageNet, {which} error: 2010 to today", f"ImageNet, error {which}: de 2010 a hoy"))
    axes = figure.subplots()
    size = 15 if len(rows) <= MANY else 14
    for place, (_, error, kind) in enumerate(rows):
        axes.barh(place, error, height=0.74, color=COLOURS[kind])
        axes.annotate(
            f"{error:.3g}", (error, place), (5, 0), textcoords="offset points", va="center", fontsize=size,
            fontweight="bold" if kind == ALEXNET else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    names = {
        WINNER: say("entries of the challenge", "entradas del desafío"),
        ALEXNET: say("AlexNet, 2012", "AlexNet, 2012"),
        NETWORK: say("single networks, one view (torchvision)", "redes solas, una vista (torchvision)"),
        PERSON: say("human, as published", "humano, según lo publicado"),
    }
    handles: list = [
        Patch(color=COLOURS[kind], label=name) for kind, name in names.items() if kind in {r[2] for r in rows}
    ]
    for (name, error), style in zip(lines, ("--", ":", "-."), strict=False):
        handles.append(
            axes.axvline(
                error, color=VERMILLION, linestyle=style, linewidth=2, label=f"{name}: {error:.3g} %", zorder=0.5
            )
        )
    axes.set_yticks(np.arange(len(rows)), [name for name, _, _ in rows], fontsize=size)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.12 * max((error for _, error, _ in rows), default=1.0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_xlabel(say(f"{which} error", f"error {which}"))
    axes.legend(handles=handles, loc="lower right", framealpha=1, edgecolor="white")
    return figure


@styled()
def the_year_2012(bars: Sequence[tuple[str, float, float]], claimed: tuple[float, float], say: Say) -> Figure:
    """The entries of 2012, top-1 and top-5, beside the lecture's figures.

    bars: name, top-1 and top-5 error in %, NaN where not published. claimed: the lecture's top-1 and top-5.
    """
    figure = new_slide(say("2012, as published and as in the lecture", "2012, según lo publicado y según la clase"))
    axes = figure.subplots()
    rows = np.arange(len(bars))
    for row, (_, top1, top5) in zip(rows, bars, strict=True):
        for error, lift, colour in ((top1, -0.2, SKY), (top5, 0.2, BLUE)):
            if math.isnan(error):
                axes.text(0.4, row + lift, say("not published", "no publicado"), va="center", color=GREY, fontsize=14)
            else:
                axes.barh(row + lift, error, height=0.36, color=colour)
                axes.text(error + 0.5, row + lift, f"{error:g} %", va="center", fontsize=16)
    handles: list = [
        Patch(color=SKY, label=say("top-1 error", "error top-1")),
        Patch(color=BLUE, label=say("top-5 error", "error top-5")),
    ]
    said = (
        say(f"lecture: “top-1 {claimed[0]:g} %”", f"clase: «top-1 {claimed[0]:g} %»"),
        say(f"lecture: “top-5 {claimed[1]:g} %”", f"clase: «top-5 {claimed[1]:g} %»"),
    )
    for error, name, style in zip(claimed, said, ("--", ":"), strict=True):
        handles.append(axes.axvline(error, color=VERMILLION, linestyle=style, linewidth=2.2, label=name, zorder=3))
    axes.set_yticks(rows, [name for name, _, _ in bars], fontsize=16)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 62)  # room for the legend
    axes.set_xticks(range(0, 50, 10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_xlabel(
        say("error, ILSVRC-2012 (validation; runner-up: test)", "error, ILSVRC-2012 (validación; segundo lugar: test)")
    )
    axes.set_title(
        say(
            "the lecture's top-1 is the runner-up's top-5; its top-5 is that of seven networks",
            "el top-1 de la clase es el top-5 del segundo lugar; su top-5, el de siete redes",
        )
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE)
    axes.legend(handles=handles, loc="upper right", framealpha=1, edgecolor="white")
    return figure
