"""Batches: their gradients around the whole one, the loss against what it cost, and the ball in which SGD ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from trainlab.figures.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SERIES,
    SKY,
    VERMILLION,
    new_frame,
    new_slide,
    number,
    styled,
    tick,
)
from trainlab.recording.section import Say

CLOUD_COLOURS = (SKY, BLUE, VERMILLION)


@styled()
def gradient_noise(
    clouds: Mapping[int, np.ndarray],
    length: float,
    trace: float,
    examples: int,
    measured: Mapping[bool, Sequence[tuple[int, float]]],
    say: Say,
) -> Figure:
    """Gradients of batches around that of all examples, and their spread against the batch size.

    clouds: by batch size, gradients (K, 2) along and across the whole one, whose length is `length`. trace: S.
    examples: N. measured: (B, mean of ‖g_B − g‖²), without replacement (False) and with (True).
    """
    figure = new_slide(
        say(
            "A batch's gradient around that of all examples",
            "El gradiente de un batch en torno al de todos los ejemplos",
        )
    )
    left, right = figure.subplots(1, 2)
    for (size, places), colour in zip(clouds.items(), cycle(CLOUD_COLOURS), strict=False):
        left.plot(*places.T, ".", color=colour, markersize=7, alpha=0.8, label=f"B = {size}")
    left.plot(length, 0, marker="*", color=INK, markersize=13, linestyle="none", label=say("all", "todos"))
    left.axvline(0, color=GREY, linestyle="--", linewidth=1.5)
    left.set_xlabel(say("g_B along ∇J (left of 0: uphill)", "g_B según ∇J (a la izquierda de 0: sube)"))
    left.set_ylabel(say("g_B across ∇J", "g_B a través de ∇J"))
    left.set_title(say("200 batches of each size", "200 batches de cada tamaño"))
    left.legend(frameon=False, loc="upper left", ncols=2, markerscale=1.6, handletextpad=0.1, columnspacing=0.8)
    bottom, top = left.get_ylim()
    left.set_ylim(bottom, top + 0.22 * (top - bottom))  # room for the legend

    least = trace / examples**2 / 4
    sizes = np.unique(np.concatenate([np.geomspace(1, examples, 60), examples - np.geomspace(1, examples - 1, 60)]))
    without = np.maximum(trace / sizes * (examples - sizes) / max(1, examples - 1), 1e-300)
    texts = {
        False: (BLUE, "o", say("without replacement", "sin reemplazo"), np.append(without, 1e-300)),
        True: (VERMILLION, "s", say("with replacement", "con reemplazo"), trace / np.append(sizes, examples)),
    }
    for replacement, (colour, marker, label, line) in texts.items():
        right.plot(np.append(sizes, examples), line, color=colour, label=label)
        drawn = [(size, mean) for size, mean in measured[replacement] if mean > least]
        right.plot(*zip(*drawn, strict=True), marker, color=colour, markersize=7, linestyle="none")
    right.axvline(examples, color=GREY, linestyle="--", linewidth=1.5)
    right.text(0.9 * examples, 1.5 * least, f"B = N = {examples:,}", ha="right", fontsize=14)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_ylim(least, 3 * trace)
    right.set_xlim(0.8, 2 * examples)
    right.xaxis.set_major_formatter(tick)
    right.yaxis.set_major_formatter(tick)
    right.set_xlabel(say("batch size B", "tamaño de batch B"))
    right.set_ylabel("E‖g_B − ∇J‖²")
    right.set_title(say("Lines: S/B and S/B·(N − B)/(N − 1)", "Líneas: S/B y S/B·(N − B)/(N − 1)"))
    right.legend(frameon=False, loc="lower left")
    return figure


@styled()
def loss_against_cost(
    curves: Sequence[tuple[int, float, np.ndarray]], examples: int, target: float, say: Say
) -> Figure:
    """The loss against examples seen and against seconds.

    curves: batch size, η, and (T, 3): examples seen, seconds, loss of all `examples` in nats. target: a loss.
    """
    figure = new_slide(
        say("The same descents against examples and against time", "Los mismos descensos según ejemplos y según tiempo")
    )
    axes = figure.subplots(1, 2, sharey=True)
    for (size, eta, curve), colour in zip(curves, cycle(SERIES), strict=False):
        name = say("all", "todos") if size == examples else f"B = {size}"
        for axis, column in zip(axes, (curve[:, 0] / examples, curve[:, 1]), strict=True):
            axis.plot(column[1:], curve[1:, 2], color=colour, label=f"{name}, η = {eta:g}")
            axis.plot(column[-1], curve[-1, 2], "o", color=colour, markersize=8)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.axhline(target, color=GREY, linestyle="--", linewidth=1.5)
        axis.xaxis.set_major_formatter(tick)
        axis.yaxis.set_major_formatter(tick)
        axis.yaxis.set_minor_formatter(lambda value, _: "")
        axis.grid(axis="y")
    axes[0].set_xlabel(say("examples seen (epochs)", "ejemplos vistos (épocas)"))
    axes[1].set_xlabel(say("seconds, one thread", "segundos, un hilo"))
    axes[0].set_ylabel(say("training loss (nats)", "pérdida de entrenamiento (nats)"))
    axes[0].set_title(say("Against the examples seen", "Según los ejemplos vistos"))
    axes[1].set_title(say("Against processor time", "Según el tiempo de procesador"))
    axes[1].legend(frameon=False, loc="upper right", fontsize=14, borderaxespad=0)
    return figure


@styled()
def batch_size_cost(
    sizes: Sequence[int],
    steps: Sequence[np.ndarray],
    seconds: Sequence[np.ndarray],
    least: tuple[float, float],
    target: float,
    say: Say,
) -> Figure:
    """Steps and seconds to a loss against the batch size.

    steps, seconds: for each size the values of all runs. least: S_min and E_min.
    """
    figure = new_slide(
        say(f"What it takes to a training loss of {target:g}", f"Lo que cuesta llegar a una pérdida de {target:g}")
    )
    left, right = figure.subplots(1, 2)
    grid = np.geomspace(sizes[0], sizes[-1], 100)
    fewest, examples = least
    if fewest:
        left.axvline(examples / fewest, color=GREY, linestyle="--", linewidth=1.5)
        left.text(
            1.15 * examples / fewest, 0.97, say("critical size\n", "tamaño crítico\n") + f"{examples / fewest:.0f}",
            transform=left.get_xaxis_transform(), va="top", fontsize=14,
        )  # fmt: skip
    left.plot(grid, fewest + examples / grid, color=PALE, linewidth=4, label="S_min + E_min/B", zorder=0)
    for axis, values, colour in ((left, steps, BLUE), (right, seconds, VERMILLION)):
        for size, some in zip(sizes, values, strict=True):
            axis.plot([size] * len(some), some, "o", color=colour, markersize=6, alpha=0.5)
        axis.plot(sizes, [some.mean() for some in values], color=colour, label=say("measured", "medido"))
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.xaxis.set_major_formatter(tick)
        axis.yaxis.set_major_formatter(tick)
        axis.yaxis.set_minor_formatter(lambda value, _: number(value) if f"{value:.0e}"[0] in "25" else "")
        axis.tick_params(axis="y", which="minor", labelsize=14)
        axis.set_xlabel(say("batch size B", "tamaño de batch B"))
        axis.grid(axis="y")
    left.set_ylabel(say("steps", "pasos"))
    right.set_ylabel(say("seconds, one thread", "segundos, un hilo"))
    left.set_title(say("Steps, each size with its best η", "Pasos, cada tamaño con su mejor η"))
    right.set_title(say("Processor time", "Tiempo de procesador"))
    left.legend(frameon=False, loc="lower left", fontsize=14, borderaxespad=0)
    return figure


@styled()
def noise_ball(
    bowl: Mapping[float, tuple[np.ndarray, np.ndarray]],
    curvatures: Sequence[float],
    kinds: Sequence[tuple[float, int, bool]],
    etas: Sequence[float],
    variance: np.ndarray,
    say: Say,
) -> Figure:
    """Descents on a bowl that end in balls, and the variance against η.

    bowl: by η, a path (T, 2) and two standard deviations (2,). kinds: γ, B and whether by epochs, of the rows of
    `variance` (kinds, etas), for λ = S = 1.
    """
    figure = new_slide(say("SGD with a constant η ends in a ball", "SGD con η constante termina en una bola"))
    left, right = figure.subplots(1, 2)
    reach = 1.2 * max(np.abs(path[0]).max() for path, _ in bowl.values())
    grid = np.linspace(-reach, reach, 121)
    surface = curvatures[0] * grid[None, :] ** 2 / 2 + curvatures[1] * grid[:, None] ** 2 / 2
    left.contour(
        grid, grid, surface, levels=surface.max() * np.linspace(0, 1, 10)[1:] ** 2, colors=PALE, linewidths=1.2
    )
    for (eta, (path, radii)), colour in zip(bowl.items(), (VERMILLION, BLUE), strict=False):
        left.plot(*path.T, color=colour, linewidth=1.5, marker=".", markersize=5, label=f"η = {eta:g}")
        left.add_patch(
            Ellipse((0, 0), *(2 * radii), fill=False, edgecolor=colour, linewidth=2.5, linestyle="--", zorder=5)
        )
    left.set_aspect("equal")
    left.set_xlabel("θ₁")
    left.set_ylabel("θ₂")
    left.set_title(say("Dashed: two standard deviations", "A trazos: dos desviaciones estándar"))
    left.legend(frameon=True, framealpha=0.9, edgecolor="white", loc="lower right")
    line = np.geomspace(etas[0] / 1.3, etas[-1] * 1.1, 200)
    for (gamma, size, epochs), values, colour in zip(kinds, variance, cycle(SERIES), strict=False):
        label = f"γ = {gamma:g}, B = {size}"
        if epochs:
            right.plot(
                etas, values, "o", mfc="white", mew=2, color=INK, label=say("shuffled epochs", "épocas barajadas")
            )
            continue
        room = 2 * (1 + gamma) - line
        right.plot(line, (1 + gamma) * line / size / ((1 - gamma) * room), color=colour)
        right.plot(etas, values, "o", color=colour, markersize=8, label=label)
    right.set_xscale("log")
    right.set_yscale("log")
    right.xaxis.set_major_formatter(tick)
    right.yaxis.set_major_formatter(tick)
    right.set_xlabel(say("ηλ (learning rate × curvature)", "ηλ (tasa de aprendizaje × curvatura)"))
    right.set_ylabel(say("variance of θ (in S/λ²)", "varianza de θ (en S/λ²)"))
    right.set_title(say("Lines: the formula; dots: measured", "Líneas: la fórmula; puntos: lo medido"))
    right.legend(frameon=False, fontsize=14, ncols=2, handletextpad=0.1, columnspacing=0.8, loc="upper left")
    top = right.get_ylim()[1]
    right.set_ylim(top=top * 12)
    return figure


def one_size_each(
    curves: Sequence[tuple[int, float, np.ndarray]],
    clouds: Mapping[int, np.ndarray],
    length: float,
    examples: int,
    target: float,
    say: Say,
) -> Iterator[Figure]:
    """The gradients of one batch size after the other, and its descent before those of the others, in one figure that
    is redrawn.

    curves, clouds, length: as in `loss_against_cost` and `gradient_noise`.
    """
    with styled():
        figure, title = new_frame("B")
        left, right = figure.subplots(1, 2)
        (dots,) = left.plot([], [], ".", color=BLUE, markersize=7, alpha=0.8)
        left.plot(length, 0, marker="*", color=INK, markersize=13, linestyle="none")
        left.axvline(0, color=GREY, linestyle="--", linewidth=1.5)
        reach = 1.05 * np.abs(np.concatenate([clouds[size] for size, _, _ in curves])).max(0)
        left.set_xlim(-reach[0], reach[0])
        left.set_ylim(-reach[1], reach[1])
        left.set_xlabel(say("g_B along ∇J", "g_B según ∇J"))
        left.set_ylabel(say("g_B across ∇J", "g_B a través de ∇J"))
        left.set_title(say("200 batches", "200 lotes"))
        for _, _, curve in curves:
            right.plot(curve[1:, 0] / examples, curve[1:, 2], color=PALE)
        (line,) = right.plot([1], [1], color=BLUE)
        right.axhline(target, color=GREY, linestyle="--", linewidth=1.5)
        right.set_xscale("log")
        right.set_yscale("log")
        right.xaxis.set_major_formatter(tick)
        right.yaxis.set_major_formatter(tick)
        right.yaxis.set_minor_formatter(lambda value, _: "")
        right.set_xlabel(say("examples seen (epochs)", "ejemplos vistos (épocas)"))
        right.set_ylabel(say("training loss (nats)", "pérdida de entrenamiento (nats)"))
        right.set_title(say("One descent", "Un descenso"))
    for size, eta, curve in curves:
        title.set_text(f"B = {size:,}, η = {eta:g}")
        dots.set_data(*clouds[size].T)
        line.set_data(curve[1:, 0] / examples, curve[1:, 2])
        yield figure
