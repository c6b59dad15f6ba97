"""Averages of dropout's masks: error and log-loss against their number, the single masks, and the variance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from trainlab.figures.style import (
    BLUE,
    GREEN,
    GREY,
    PALE,
    SKY,
    VERMILLION,
    new_frame,
    new_slide,
    styled,
    tick,
)
from trainlab.recording.section import Say

PUBLISHED = 50  # masks at which the average draws level (Srivastava et al. 2014, §7.5, MNIST)
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


@styled()
def averages_of_masks(arithmetic: Curve, geometric: Curve, scaled: np.ndarray, say: Say) -> Figure:
    """Test error and log-loss against the number K of masks averaged.

    arithmetic, geometric: K (k,); error and log-loss (k, 2); their standard deviation over draws of masks (k, 2).
    scaled: error and log-loss with scaled weights.
    """
    figure = new_slide(
        say("The average of K masks, and scaled weights", "El promedio de K máscaras y los pesos escalados")
    )
    panels = (
        (
            0,
            say("test error (%)", "error de prueba (%)"),
            100,
            say("Error (band: sd over draws)", "Error (banda: desv. est. entre sorteos)"),
        ),
        (1, say("log-loss on test digits (nats)", "log-loss en dígitos de prueba (nats)"), 1, "Log-loss"),
    )
    axes = figure.subplots(1, 2)
    for axis, (column, label, unit, title) in zip(axes, panels, strict=True):
        for (counts, means, sds), colour, name in (
            (arithmetic, BLUE, say("mean of K masks", "media de K máscaras")),
            (geometric, GREEN, say("geometric mean", "media geométrica")),
        ):
            mean, sd = unit * means[:, column], unit * sds[:, column]
            axis.fill_between(counts, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)
            axis.plot(counts, mean, color=colour, marker="o", markersize=6, label=name)
        axis.axhline(unit * scaled[column], color=VERMILLION, label=say("scaled weights", "pesos escalados"))
        axis.axvline(PUBLISHED, color=GREY, linestyle="--", linewidth=1.5)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(tick)
        axis.set_xlabel(say("masks K", "máscaras K"))
        axis.set_ylabel(label)
        axis.set_title(title)
        axis.grid(axis="y")
    axes[0].text(
        1.15 * PUBLISHED, 0.5, "K = 50\nSrivastava\net al. 2014", transform=axes[0].get_xaxis_transform(), fontsize=14,
        va="top",
    )  # fmt: skip
    axes[0].legend(facecolor="white", edgecolor="white", framealpha=1, loc="upper right")
    return figure


@styled()
def members_and_variance(
    members: np.ndarray, errors: Mapping[str, float], most: int, variance: Mapping[int, float], say: Say
) -> Figure:
    """The errors of single masks, and the variance of their mean against K.

    members: test error of each mask alone, a fraction. errors: of the mean of `most` masks ("arithmetic") and with
    scaled weights ("scaled"). variance: of an averaged probability, by K.
    """
    figure = new_slide(say("Each mask is one network", "Cada máscara es una red"))
    left, right = figure.subplots(1, 2)
    left.hist(100 * members, bins=30, color=SKY)
    lines = (
        ("scaled", VERMILLION, "-", say("scaled weights", "pesos escalados")),
        ("arithmetic", BLUE, "--", say(f"mean of {most}", f"media de {most}")),
    )
    for kind, colour, style, name in lines:
        left.axvline(100 * errors[kind], color=colour, linestyle=style, label=name)
    left.set_xlabel(say("test error of one mask (%)", "error de prueba de una máscara (%)"))
    left.set_ylabel(say("masks", "máscaras"))
    left.set_title(say(f"{len(members):,} masks of one network", f"{len(members):,} máscaras de una red"))
    left.legend(frameon=False, loc="upper right")
    counts = np.array(list(variance))
    values = np.array(list(variance.values()))
    right.plot(counts, values[0] / counts, color=PALE, linewidth=5, label="Var₁/K")
    right.plot(counts, values, "o", color=BLUE, markersize=8, label=say("measured", "medida"))
    right.set_xscale("log")
    if values[0] > 0:
        right.set_yscale("log")
    right.xaxis.set_major_formatter(tick)
    right.yaxis.set_major_formatter(tick)
    right.set_xlabel(say("masks K", "máscaras K"))
    right.set_ylabel(say("variance of the mean probability", "varianza de la probabilidad media"))
    right.set_title(say("The variance falls as 1/K", "La varianza cae como 1/K"))
    right.legend(frameon=False, loc="upper right")
    return figure


def one_count_each(averages: Mapping[int, np.ndarray], scaled: tuple[float, float], say: Say) -> Iterator[Figure]:
    """Error and log-loss of averages of K masks, a dot each, for one K after the other: one figure that is redrawn.

    averages: by K, test error (a fraction) and log-loss (2, draws). scaled: the two with scaled weights.
    """
    with styled():
        figure, title = new_frame("K")
        ax = figure.subplots()
        (dots,) = ax.plot([], [], "o", color=BLUE, markersize=7, alpha=0.35, label=say("averages", "promedios"))
        ax.plot(
            100 * scaled[0],
            scaled[1],
            "*",
            color=VERMILLION,
            markersize=18,
            label=say("scaled weights", "pesos escalados"),
        )
        every = np.concatenate([np.array([scaled]).T, *averages.values()], axis=1)
        low, high = every.min(1), every.max(1)
        room = 0.06 * (high - low) + 1e-6
        ax.set_xlim(100 * (low - room)[0], 100 * (high + room)[0])
        ax.set_ylim((low - room)[1], (high + room)[1])
        ax.set_xlabel(say("test error (%)", "error de prueba (%)"))
        ax.set_ylabel(say("log-loss on test digits (nats)", "log-loss en dígitos de prueba (nats)"))
        ax.grid(axis="y")
        ax.legend(frameon=False, loc="upper left")
    for count, values in averages.items():
        draws = values.shape[1]
        title.set_text(say(f"{draws:,} averages of K = {count} masks", f"{draws:,} promedios de K = {count} máscaras"))
        dots.set_data(100 * values[0], values[1])
        yield figure
