"""Where a sigmoid perceptron's gradient vanishes, and how long that holds up a unit that is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from trainlab.figures.style import BLUE, GREY, INK, PALE, VERMILLION, new_slide, styled, tick
from trainlab.recording.section import Say


@styled()
def where_it_vanishes(
    z: np.ndarray,
    outputs: np.ndarray,
    half_square: np.ndarray,
    cross_entropy: np.ndarray,
    steepest: tuple[float, float],
    say: Say,
) -> Figure:
    """A sigmoid's output and slope, and the size of the gradient of two losses, against the pre-activation.

    z, outputs: (N,). half_square, cross_entropy: |∂J/∂z| of one example with target 1, (N,). steepest: z and |∂J/∂z| of
    the largest gradient of ½ (t − o)².
    """
    figure = new_slide(
        say("Where the gradient of a sigmoid vanishes", "Dónde se desvanece el gradiente de una sigmoide")
    )
    left, right = figure.subplots(1, 2)
    left.plot(z, outputs, color=GREY, label="o = σ(z)")
    left.plot(z, outputs * (1 - outputs), color=BLUE, label="o (1 − o)")
    left.axhline(0.25, color=PALE, linewidth=1.5, zorder=0)
    left.annotate("¼", (-14.5, 0.25), xytext=(0, 4), textcoords="offset points")
    left.set_title(say("The output and the factor", "La salida y el factor"))
    left.legend(frameon=False, loc="upper left")
    right.axvspan(z[0], 0, color=PALE, alpha=0.6, linewidth=0)
    right.plot(z, cross_entropy, color=VERMILLION, label=say("cross-entropy: 1 − o", "entropía cruzada: 1 − o"))
    right.plot(z, half_square, color=BLUE, label="½ (t − o)²:  (1 − o) o (1 − o)")
    right.plot(*steepest, color=INK, marker="o", markersize=7)
    right.annotate(
        "4/27, z = −ln 2", steepest, xytext=(2.2, 0.32), arrowprops={"arrowstyle": "-", "color": GREY}, va="center"
    )
    right.set_yscale("log")
    right.set_ylim(1e-8, 300)
    right.yaxis.set_major_formatter(tick)
    right.text(-14.4, 1.6e-8, say("wrong answer", "respuesta errada"))
    right.text(0.4, 1.6e-8, say("right answer", "correcta"))
    right.set_ylabel("|∂J/∂z|")
    right.set_title(say("Size of the gradient, target t = 1", "Tamaño del gradiente, objetivo t = 1"))
    right.legend(frameon=False, loc="upper left")
    for axes in (left, right):
        axes.set_xlim(z[0], z[-1])
        axes.set_xlabel(say("pre-activation z = w·x + b", "preactivación z = w·x + b"))
    return figure


@styled()
def wrong_and_sure(
    losses: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    say: Say,
) -> Figure:
    """How a unit that is sure and wrong becomes right, with each loss.

    losses: for each its name, the output after 0, 1, … steps (T,) from the furthest start, the starts (K,), the steps
    until the output is above ½ (K,), and the steps that the differential equation says (K,).
    """
    figure = new_slide(
        say("Wrong and sure of it: the way to the right answer", "Errada y segura: el camino a la respuesta correcta")
    )
    left, right = figure.subplots(1, 2)
    for (name, path, starts, steps, predicted), colour in zip(losses, (BLUE, VERMILLION), strict=True):
        left.plot(np.arange(1, len(path)), path[1:], color=colour, label=name)  # a logarithmic axis has no 0
        right.plot(starts, predicted, color=colour, linewidth=1.5)
        right.plot(starts, steps, color=colour, marker="o", markersize=8, linestyle="none", label=name)
    right.plot([], [], color=GREY, linewidth=1.5, label=say("differential equation", "ecuación diferencial"))
    start = losses[0][2][0]
    left.axhline(0.5, color=GREY, linestyle="--", linewidth=1.5)
    left.set_xscale("log")
    left.set_ylim(0, 0.72)
    left.set_ylabel(say("output o, target 1", "salida o, objetivo 1"))
    left.set_xlabel(say("steps of gradient descent", "pasos de descenso de gradiente"))
    left.set_title(say(f"From z = {start:g}".replace("-", "−"), f"Desde z = {start:g}".replace("-", "−")))
    left.legend(frameon=False, loc="upper left")
    right.set_yscale("log")
    right.set_xlabel(say("pre-activation z at the start", "preactivación z al comenzar"))
    right.set_ylabel(say("steps", "pasos"))
    right.set_title(say("Steps until o > ½", "Pasos hasta que o > ½"))
    right.legend(frameon=False)
    for axis in (left.xaxis, right.yaxis):
        axis.set_major_formatter(tick)
    right.grid(axis="y")
    return figure
