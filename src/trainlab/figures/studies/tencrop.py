"""Errors with one, five and ten views, and the ten views of one image with what the network says of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from trainlab.figures.style import BLUE, GREEN, GREY, INK, VERMILLION, new_slide, number, shorten, styled, tick
from trainlab.recording.section import Say

COLOURS = {1: BLUE, 5: VERMILLION, 10: GREEN}
MARKERS = {1: "o", 5: "s", 10: "D"}


@styled()
def errors_by_views(
    equal_epochs: Mapping[int, Mapping[int, np.ndarray]],
    equal_steps: Mapping[int, Mapping[int, np.ndarray]],
    steps: tuple[int, int],
    say: Say,
) -> Figure:
    """The errors of networks trained on one, five and ten views, by the number of views in the test.

    equal_epochs, equal_steps: by views in training, by views in testing, the errors of all runs, fractions. steps: of
    the centre alone at equal epochs, and of all at equal steps.
    """
    figure = new_slide(say("One, five and ten views, in training and in testing",
                           "Una, cinco y diez vistas, al entrenar y al probar"))  # fmt: skip
    axes = figure.subplots(1, 2, sharey=True)
    titles = (
        say(f"Equal epochs: {steps[0]:,} to {steps[1]:,} steps", f"Iguales épocas: {steps[0]:,} a {steps[1]:,} pasos"),
        say(f"Equal steps: {steps[1]:,}", f"Iguales pasos: {steps[1]:,}"),
    )
    for axis, results, title in zip(axes, (equal_epochs, equal_steps), titles, strict=True):
        for shift, tested in zip((-0.22, 0, 0.22), COLOURS, strict=True):
            places = np.arange(len(results)) + shift
            values = [100 * results[trained][tested] for trained in results]
            axis.errorbar(
                places, [v.mean() for v in values], yerr=[v.std(ddof=1) if len(v) > 1 else 0 for v in values],
                color=COLOURS[tested], marker=MARKERS[tested], markersize=10, linestyle="none", capsize=5, linewidth=2,
                label=say(f"tested with {tested}", f"probadas con {tested}"),
            )  # fmt: skip
        for border in np.arange(len(results) - 1) + 0.5:
            axis.axvline(border, color=GREY, linewidth=0.8, linestyle=":")
        axis.set_xticks(
            range(len(results)), [say("centre", "centro") if k == 1 else f"{k}" for k in results], fontsize=16
        )
        axis.set_xlim(-0.5, len(results) - 0.5)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(tick)
        axis.yaxis.set_minor_formatter(lambda value, _: number(value) if f"{value:.0e}"[0] in "235" else "")
        axis.tick_params(axis="y", which="minor", labelsize=14)
        axis.set_xlabel(say("views in training", "vistas al entrenar"))
        axis.set_title(title)
        axis.grid(axis="y", which="both")
    axes[0].set_ylabel(say("test error (%), mean ± sd of runs", "error de prueba (%), media ± desv. est."))
    axes[1].legend(facecolor="white", edgecolor="white", framealpha=1, loc="upper right")
    return figure


@styled()
def views_of_an_example(
    views: np.ndarray,
    whole: np.ndarray,
    predictions: np.ndarray,
    means: Mapping[int, np.ndarray],
    classes: tuple[tuple[str, ...], int],
    say: Say,
) -> Figure:
    """The ten views of one image, and what the network says of each and of their averages.

    views: (10, S, S, C) in [0, 1], of whole (S′, S′, C). predictions: (10, K), probabilities; means: by the number of
    views, (K,). classes: their names, and which is right.
    """
    names, truth = classes
    figure = new_slide(say(f"The ten views of one image of class {shorten(names[truth], 20)}",
                           f"Las diez vistas de una imagen de la clase {shorten(names[truth], 20)}"))  # fmt: skip
    top, below = figure.subfigures(2, 1, height_ratios=(3.1, 1))  # type: ignore[misc]
    grid = top.subplots(2, 6, width_ratios=(1, 1, 1, 1, 1, 1))
    size, room = views.shape[1], whole.shape[0] - views.shape[1]
    show(grid[0, 0], whole, say("whole image", "imagen completa"), INK)
    middle = round(room / 2)
    for top_edge, left_edge in ((0, 0), (0, room), (room, 0), (room, room), (middle, middle)):
        grid[0, 0].add_patch(
            Rectangle((left_edge - 0.5, top_edge - 0.5), size, size, fill=False, edgecolor=VERMILLION, linewidth=1.5)
        )
    grid[1, 0].axis("off")
    grid[1, 0].text(0.5, 0.5, say("reflected:", "reflejadas:"), ha="center", va="center", fontsize=16)
    places = (say("top left", "arriba izq."), say("top right", "arriba der."), say("bottom left", "abajo izq."),
              say("bottom right", "abajo der."), say("centre", "centro"))  # fmt: skip
    for k, (view, score) in enumerate(zip(views, predictions, strict=True)):
        said = int(score.argmax())
        text = f"{places[k]}\n" if k < 5 else ""
        show(grid[k // 5, 1 + k % 5], view, f"{text}{shorten(names[said], 9)}: {score[said]:.2f}",
             BLUE if said == truth else VERMILLION)  # fmt: skip
    axis = below.subplots()
    axis.axis("off")
    lines = []
    for count, mean in means.items():
        said = int(mean.argmax())
        averaged = (
            say("the centre alone", "el centro solo") if count == 1 else say(f"mean of {count}", f"media de {count}")
        )
        right = f", p({shorten(names[truth], 12)}) = {mean[truth]:.2f}" if said != truth else ""
        text = f"{averaged}: p({shorten(names[said], 12)}) = {mean[said]:.2f}{right}"
        lines.append((text, BLUE if said == truth else VERMILLION))
    for row, (line, colour) in enumerate(lines):
        axis.text(
            0.5, 0.92 - 0.36 * row, line, ha="center", va="center", fontsize=18, color=colour, transform=axis.transAxes
        )
    return figure


def show(axis: Axes, picture: np.ndarray, title: str, colour: str) -> None:
    """Draw one picture, (S, S, C) in [0, 1], in these axes. colour: of the title."""
    axis.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray_r", vmin=0, vmax=1)
    axis.set_title(title, color=colour, fontsize=14)
    axis.set_xticks([])
    axis.set_yticks([])
