"""What the study says and shows, in both languages: table, paragraphs, and what is handed to the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainlab.recording.section import Say
from trainlab.studies.momentum.network import BATCHES, FULL, GAMMA, SEEDS, Curves
from trainlab.studies.momentum.ravine import Stability, Tuned, steps_to
from trainlab.studies.momentum.rolling import LEFT, PIT, SEA, STEPS, UNDER_WAY, Journeys, Rolled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def percent(share: float) -> str:
    """A share as text, in percent."""
    return f"{100 * share:.1f} %"


def typical(rolled: Rolled, told: Journeys) -> tuple[float, float, float]:
    """The way of a typical ball that reached the sea: km walked and metres climbed, medians, and what the tenth that
    climbed most climbed at least, in metres.

    On a map without sea, of all balls; NaN where none reached it.
    """
    arrived = rolled.fate == SEA
    if not told.by_sea:
        arrived = np.ones_like(arrived)
    if not arrived.any():
        return float("nan"), float("nan"), float("nan")
    middle, high = np.quantile(rolled.climbed[arrived], [0.5, 0.9])
    return float(np.median(rolled.length[arrived]) / 1e3), float(middle), float(high)


def head(told: Journeys, say: Say) -> list[str]:
    """The heads of the section's table."""
    return [
        "γ",
        "η, m",
        say("in the sea", "en el mar"),
        say("in a pit", "en un pozo"),
        say("off the map", "fuera del mapa"),
        say("under way", "en camino"),
        say("km to the sea", "km hasta el mar") if told.by_sea else say("km walked", "km recorridos"),
        say("m climbed (top tenth)", "m subidos (décimo superior)"),
        say("longest step, m", "paso más largo, m"),
    ]


def rows(told: Journeys, say: Say) -> list[list[str]]:
    """The rows of the section's table: one for each γ, and the control without momentum."""
    lines = []
    for rolled in [*told.rolled, told.control]:
        km, climbed, most = typical(rolled, told)
        shares = [percent(rolled.share(fate)) for fate in (SEA, PIT, LEFT, UNDER_WAY)]
        medians = ["–", "–"] if np.isnan(km) else [f"{km:.1f}", f"{climbed:,.0f} ({most:,.0f})"]
        lines.append([f"{rolled.gamma:g}", f"{rolled.eta:,.6g}", *shares, *medians, f"{rolled.longest:,.0f}"])
    return lines


def of_ravines(tuned: Sequence[Tuned], stable: Stability, say: Say) -> str:
    """What the ravines show, in sentences."""
    needed = [(f"κ = {t.kappa:,.6g}", steps_to(t.gd_errors), steps_to(t.errors), t.by_rate_alone) for t in tuned]
    counts = "; ".join(
        say(f"{name}: {slow:,} and {fast:,} (ρᵏ alone: {alone:,})", f"{name}: {slow:,} y {fast:,} (solo ρᵏ: {alone:,})")
        for name, slow, fast, alone in needed
    )
    bounds = ", ".join(f"{b:.4g} (γ = {g:g})" for g, b in zip(stable.gammas, stable.bounds, strict=True))
    return say(
        "Ravine: the lecture says that momentum lowers the risk of getting stuck; on a quadratic, where nothing can "
        "get stuck, it also saves steps. To a millionth of the error, gradient descent and momentum, each with its "
        f"best η and γ, need, for {counts}. The best η and γ have a double root: the error falls as k ρᵏ, not as ρᵏ. "
        f"Measured by bisection, ηλ may be up to {bounds}: 2(1 + γ).",
        "Barranco: la clase dice que momentum aminora el riesgo de quedar pegado; en una función cuadrática, donde "
        "nada puede quedar pegado, además ahorra pasos. Hasta una millonésima del error, el descenso de gradiente y "
        f"momentum, cada uno con sus mejores η y γ, necesitan, para {counts}. Los mejores η y γ dan una raíz doble: el "
        f"error cae como k ρᵏ y no como ρᵏ. Medido por bisección, ηλ puede llegar a {bounds}: 2(1 + γ).",
    )


def of_relief(told: Journeys, say: Say) -> str:
    """What the balls on the relief show, in sentences."""
    cell, pits = told.relief.cell, int(told.relief.pits.sum())
    balls = to_the_sea(told, say) if told.by_sea else to_the_pits(told, say)
    return say(
        f"Relief ({told.relief.name}, cells of {cell:,.0f} m, {pits:,} pits): {balls} With a small η, gradient descent "
        f"ends where water would run: of {told.compared} starts off the divides, {percent(told.elsewhere)} end "
        "elsewhere. The published demonstration (Chris Foster, 2017) divides heights instead of subtracting them: its "
        "slope is a ratio, which depends on the height above the sea, is infinite at 0 m and points uphill below; at "
        "the height below which a tenth of these starts lie, the same slope would count "
        f"{told.times:.3g} times as much as at the one above which a tenth lie.",
        f"Relieve ({told.relief.name}, celdas de {cell:,.0f} m, {pits:,} pozos): {balls} Con η pequeña, el descenso de "
        f"gradiente termina donde correría el agua: de {told.compared} inicios lejos de las divisorias, el "
        f"{percent(told.elsewhere)} termina en otra parte. La demostración publicada (Chris Foster, 2017) divide "
        "alturas en vez de restarlas: su pendiente es una razón, que depende de la altura sobre el mar, es infinita a "
        "0 m y apunta cuesta arriba bajo él; a la altura bajo la cual está un décimo de estos inicios, la misma "
        f"pendiente contaría {told.times:.3g} veces lo que a aquella sobre la cual está otro décimo.",
    )


def to_the_sea(told: Journeys, say: Say) -> str:
    """How many balls reach the sea, in sentences."""
    first, last, control = told.rolled[0], told.rolled[-1], told.control
    km, climbed, most = typical(last, told)
    walked = say(
        f"Those that arrive with γ = {last.gamma:g} walk {km:.1f} km and climb {climbed:,.0f} m on the way (medians); "
        f"a tenth of them climb {most:,.0f} m or more. ",
        f"Las que llegan con γ = {last.gamma:g} recorren {km:.1f} km y suben {climbed:,.0f} m por el camino "
        f"(medianas); un décimo de ellas sube {most:,.0f} m o más. ",
    )
    shares = [percent(one.share(fate)) for fate in (SEA, PIT) for one in (first, last)]
    times, far = control.eta / last.eta, control.longest / 1e3
    return say(
        f"of {len(told.starts):,} balls, {shares[0]} reach the sea with γ = {first.gamma:g} and {shares[1]} with "
        f"γ = {last.gamma:g}, in {STEPS:,} steps and with the same η; {shares[2]} and {shares[3]} sit in a pit. "
        f"{'' if np.isnan(km) else walked}Momentum is not the only way there: η × {times:.3g} without momentum brings "
        f"{percent(control.share(SEA))} to the sea, with steps of up to {far:,.1f} km over whatever lies between.",
        f"de {len(told.starts):,} bolitas, el {shares[0]} llega al mar con γ = {first.gamma:g} y el {shares[1]} con "
        f"γ = {last.gamma:g}, en {STEPS:,} pasos y con la misma η; quedan en un pozo el {shares[2]} y el {shares[3]}. "
        f"{'' if np.isnan(km) else walked}Momentum no es el único camino: η × {times:.3g} sin momentum lleva al mar al "
        f"{percent(control.share(SEA))}, con pasos de hasta {far:,.1f} km por sobre lo que haya entremedio.",
    )


def to_the_pits(told: Journeys, say: Say) -> str:
    """How many balls end in a pit, on a map without sea, in sentences."""
    first, last = told.rolled[0], told.rolled[-1]
    _, climbed, most = typical(last, told)
    shares = [percent(one.share(PIT)) for one in (first, last)]
    return say(
        f"this map has no sea. Of {len(told.starts):,} balls, {shares[0]} sit in a pit with γ = {first.gamma:g} and "
        f"{shares[1]} with γ = {last.gamma:g}, after {STEPS:,} steps; the latter climb {climbed:,.0f} m on the way "
        f"(median), a tenth of them {most:,.0f} m or more.",
        f"este mapa no tiene mar. De {len(told.starts):,} bolitas, quedan en un pozo el {shares[0]} con "
        f"γ = {first.gamma:g} y el {shares[1]} con γ = {last.gamma:g}, tras {STEPS:,} pasos; estas últimas suben "
        f"{climbed:,.0f} m por el camino (mediana), y un décimo de ellas {most:,.0f} m o más.",
    )


def of_networks(curves: Sequence[Curves], say: Say) -> str:
    """What the networks show, in sentences."""
    plain, fast, larger, batch_plain, batch_fast, batch_larger = (f"{c.losses[:, -1].mean():.3g}" for c in curves)
    times = f"{1 / (1 - GAMMA):.3g}"
    return say(
        f"MLP (digits, mean of {SEEDS} seeds): with all examples in one batch and η = {FULL.eta:g}, the loss after "
        f"{FULL.epochs} epochs is {plain} without momentum, {fast} with γ = {GAMMA:g}, and {larger} with {times} times "
        f"the η instead. In batches of {BATCHES.batch} with η = {BATCHES.eta:g}, after {BATCHES.epochs} epochs, it is "
        f"{batch_plain}, {batch_fast} and {batch_larger}. Where η is small, momentum is much the same as an η {times} "
        "times as large; it is more where such an η is too large for gradient descent.",
        f"MLP (dígitos, media de {SEEDS} semillas): con todos los ejemplos en un batch y η = {FULL.eta:g}, la pérdida "
        f"tras {FULL.epochs} épocas es {plain} sin momentum, {fast} con γ = {GAMMA:g} y {larger} con una η {times} "
        f"veces mayor en su lugar. Con batches de {BATCHES.batch} y η = {BATCHES.eta:g}, tras {BATCHES.epochs} épocas, "
        f"es {batch_plain}, {batch_fast} y {batch_larger}. Donde η es pequeña, momentum equivale más o menos a una η "
        f"{times} veces mayor; es más que eso donde tal η es demasiado grande para el descenso de gradiente.",
    )


def draw_ravine(tuned: Sequence[Tuned], say: Say) -> Figure:
    """The paths in a ravine, with and without momentum, and the errors against the steps."""
    from trainlab.figures.studies.momentum import ravine

    first = tuned[0]
    errors = [(t.kappa, t.gd_errors, t.errors[: steps_to(t.errors) + 1]) for t in tuned]
    return ravine(first.gd_path, first.path, first.kappa, errors, say)


def draw_stability(stable: Stability, say: Say) -> Figure:
    """The spectral radius of a step against ηλ."""
    from trainlab.figures.studies.momentum import stability

    return stability(stable.etas, stable.gammas, stable.radius, stable.bounds, say)


def land_of(told: Journeys) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The map as arrays: heights (H, W), longitudes (W,) and latitudes (H,)."""
    return told.relief.heights.numpy(), told.relief.longitude.numpy(), told.relief.latitude.numpy()


def draw_relief(told: Journeys, say: Say) -> Figure:
    """One ball's way for each γ on the map, and what became of all balls."""
    from trainlab.figures.studies.momentum import relief_paths

    paths = [(one.gamma, one.paths[:, 0]) for one in told.story]
    names = [f"γ = {r.gamma:g}" for r in told.rolled] + [f"γ = 0\nη × {told.control.eta / told.rolled[0].eta:.3g}"]
    shares = [[r.share(fate) for fate in (SEA, PIT, LEFT, UNDER_WAY)] for r in (*told.rolled, told.control)]
    return relief_paths(land_of(told), paths, list(zip(names, shares, strict=True)), len(told.starts), say)


def draw_ends(told: Journeys, say: Say) -> Figure:
    """Where all balls end, with the smallest and with the largest γ."""
    from trainlab.figures.studies.momentum import relief_ends

    shown = told.rolled if len(told.rolled) == 1 else [told.rolled[0], told.rolled[-1]]
    return relief_ends(land_of(told), [(r.gamma, r.ends, r.fate) for r in shown], say)


def draw_networks(curves: Sequence[Curves], say: Say) -> Figure:
    """The losses of the networks, with and without momentum, in one batch and in batches."""
    from trainlab.figures.studies.momentum import network_curves

    titles = {
        FULL: say("all examples in one batch", "todos los ejemplos en un batch"),
        BATCHES: say(f"batches of {BATCHES.batch}", f"batches de {BATCHES.batch}"),
    }
    panels = [
        (title, [(c.gamma, c.eta, c.losses) for c in curves if c.setup == setup]) for setup, title in titles.items()
    ]
    return network_curves(panels, SEEDS, say)
