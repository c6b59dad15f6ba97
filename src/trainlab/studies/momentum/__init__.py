"""Momentum, v ← γv + η∇J, θ ← θ − v: in a ravine, on real relief, and on an MLP of this repository.

Lecture: "Momentum permite aminorar riesgo de quedar pegado en puntos críticos". Three parts: `ravine`, where everything
has a closed form; `relief` and `rolling`, a thousand balls on a map; `network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.finding import Finding, Oracle, Progress, no_progress
from trainlab.studies.momentum import report
from trainlab.studies.momentum.network import Curves, measure_network
from trainlab.studies.momentum.ravine import Stability, Tuned, stability, steps_to, tune
from trainlab.studies.momentum.relief import SHIPPED, load
from trainlab.studies.momentum.rolling import LEFT, PIT, SEA, UNDER_WAY, Journeys, journeys

LEAST_KAPPA, MOST_KAPPA, MOST_GAMMA = 2.0, 1e5, 0.999
MOST_STARTS, MOST_CURVES = 20_000, 5
RAVINE, NETWORK = 30, 10  # of a hundred parts of the work


@dataclass(frozen=True)
class Measured:
    """What the study measured: the ravines, the balls on the relief, and the networks."""

    tuned: list[Tuned]
    stable: Stability
    journeys: Journeys
    curves: list[Curves]
    apart_from_torch: float


def study(
    *,
    kappas: Sequence[float] = (20.0, 100.0, 10_000.0),
    gammas: Sequence[float] = (0.0, 0.5, 0.9, 0.99),
    relief: str = "topobathy",
    starts: int = 1000,
    eta: float = 500.0,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Measure momentum in ravines, on relief and in a network.

    kappas: of the ravines, how many times as strongly they are curved across as along. gammas: of the balls and of the
    stability. relief: topobathy or jacksboro, which matplotlib ships, or a FILE.npz (see `relief.load`). starts: balls.
    eta: metres that a ball at rest walks in a step on a slope of 1 m/m. Raises InputError.
    """
    say = speaker(lang)
    check(kappas, gammas, starts, eta, seed)
    found = measure(kappas, sorted(set(gammas)), relief, starts, eta, seed, on_progress)
    section = Section(
        say(
            "Momentum in a ravine, on real relief and on an MLP", "Momentum en un barranco, en relieve real y en un MLP"
        ),
        head=report.head(found.journeys, say),
        rows=report.rows(found.journeys, say),
        sentences=[
            report.of_ravines(found.tuned, found.stable, say),
            report.of_relief(found.journeys, say),
            report.of_networks(found.curves, say),
        ],
        figures={
            "ravine": partial(report.draw_ravine, found.tuned, say),
            "stability": partial(report.draw_stability, found.stable, say),
            "relief": partial(report.draw_relief, found.journeys, say),
            "relief_ends": partial(report.draw_ends, found.journeys, say),
            "mlp": partial(report.draw_networks, found.curves, say),
        },
    )
    return Finding(section, numbers(found), oracles(found, say))


def check(kappas: Sequence[float], gammas: Sequence[float], starts: int, eta: float, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    if not kappas or len(kappas) > MOST_CURVES:
        raise InputError(f"kappas has {len(kappas)} numbers; give one to {MOST_CURVES}.")
    for kappa in kappas:
        if not LEAST_KAPPA <= kappa <= MOST_KAPPA:
            raise InputError(
                f"kappas has {kappa:g}; a ravine is curved {LEAST_KAPPA:g} to {MOST_KAPPA:g} times as much."
            )
    if not 2 <= len(set(gammas)) <= MOST_CURVES:
        raise InputError(f"gammas has {len(set(gammas))} different numbers; give two to {MOST_CURVES}, to compare.")
    for gamma in gammas:
        if not 0 <= gamma <= MOST_GAMMA:
            raise InputError(f"gammas has {gamma:g}; γ is at least 0 and at most {MOST_GAMMA:g}.")
    if not 1 <= starts <= MOST_STARTS:
        raise InputError(f"starts={starts} has to be between 1 and {MOST_STARTS}.")
    if not 0 < eta <= 1e6:
        raise InputError(f"eta={eta:g} has to be more than 0 and at most 1e6 metres.")
    if seed < 0:
        raise InputError(f"seed={seed} has to be at least 0.")


def measure(
    kappas: Sequence[float],
    gammas: Sequence[float],
    relief: str,
    starts: int,
    eta: float,
    seed: int,
    on_progress: Progress = no_progress,
) -> Measured:
    """Measure all three parts. gammas: ascending. Raises InputError for a relief that cannot be read."""
    ground = load(relief)
    tuned = []
    for done, kappa in enumerate(kappas):
        on_progress(RAVINE * done // (len(kappas) + 1), 100)
        tuned.append(tune(kappa))
    stable = stability(gammas)
    on_progress(RAVINE, 100)
    share = 100 - RAVINE - NETWORK
    rolled = journeys(
        ground, gammas, eta, starts, seed, lambda done, total: on_progress(RAVINE + share * done // total, 100)
    )
    on_progress(100 - NETWORK, 100)
    curves, apart = measure_network(seed)
    on_progress(100, 100)
    return Measured(tuned, stable, rolled, curves, apart)


def numbers(found: Measured) -> dict[str, float]:
    """What was measured, by names as in results.json."""
    values: dict[str, float] = {}
    for one in found.tuned:
        values |= {
            f"gd_steps/kappa={one.kappa:g}": float(steps_to(one.gd_errors)),
            f"momentum_steps/kappa={one.kappa:g}": float(steps_to(one.errors)),
            f"momentum_steps_by_rate_alone/kappa={one.kappa:g}": float(one.by_rate_alone),
            f"late_slope/kappa={one.kappa:g}": one.late_slope,
        }
    for gamma, bound in zip(found.stable.gammas, found.stable.bounds, strict=True):
        values[f"largest_eta_lambda/gamma={gamma:g}"] = bound
    told = found.journeys
    for rolled, name in [(r, f"gamma={r.gamma:g}") for r in told.rolled] + [(told.control, "control")]:
        values |= {f"{fate}/{name}": rolled.share(which) for fate, which in FATES.items()}
        km, climbed, most = report.typical(rolled, told)
        values |= {f"km/{name}": km, f"metres_climbed/{name}": climbed, f"metres_climbed_top_tenth/{name}": most}
        values[f"longest_step_m/{name}"] = rolled.longest
    values |= {
        "pits": float(told.relief.pits.sum()),
        "elsewhere_than_water": told.elsewhere,
        "elsewhere_than_water_in_all": told.elsewhere_in_all,
        "compared_with_water": float(told.compared),
        "divided_heights_times": told.times,
    }
    for curve in found.curves:
        name = f"batch={curve.setup.batch or 'all'},gamma={curve.gamma:g},eta={curve.eta:.4g}"
        values[f"loss/{name}"] = float(curve.losses[:, -1].mean())
    return values


FATES = {"sea": SEA, "pit": PIT, "left_map": LEFT, "under_way": UNDER_WAY}


def oracles(found: Measured, say: Say) -> tuple[Oracle, ...]:
    """What the study is checked against: Polyak's rates, finite differences, running water, and torch's SGD."""
    stable, told, tuned = found.stable, found.journeys, found.tuned
    bounds = [abs(b / (2 * (1 + g)) - 1) for b, g in zip(stable.bounds, stable.gammas, strict=True)]
    steps = [abs(steps_to(t.gd_errors) - t.gd_predicted) + abs(steps_to(t.errors) - t.predicted) for t in tuned]
    slopes = [abs(t.late_slope / np.log(t.rate) - 1) for t in tuned]
    return (
        Oracle("largest_eta", max(bounds), 1e-3, say(
            "2(1 + γ)/λ, where momentum begins to diverge: largest relative difference",
            "2(1 + γ)/λ, donde momentum comienza a divergir: mayor diferencia relativa")),
        Oracle("spectral_radius", stable.off, 1e-12, say(
            "√γ, the spectral radius where the roots are complex: largest difference",
            "√γ, el radio espectral donde las raíces son complejas: mayor diferencia")),
        Oracle("steps", float(sum(steps)), 0, say(
            "steps to 1e-6 by ρᵏ (gradient descent) and (1 + (1 + ρ)k) ρᵏ (momentum): differences, in steps",
            "pasos hasta 1e-6 según ρᵏ (descenso) y (1 + (1 + ρ)k) ρᵏ (momentum): diferencias, en pasos")),
        Oracle("late_slope", max(slopes), 0.005, say(
            "log ρ, the slope of the late steps with the best η and γ: largest relative difference",
            "log ρ, la pendiente de los pasos tardíos con los mejores η y γ: mayor diferencia relativa")),
        Oracle("double_root", max(t.off for t in tuned), 1e-6, say(
            "(1 + (1 + ρ)k) ρᵏ, the error of every step down to 1e-200: largest relative difference",
            "(1 + (1 + ρ)k) ρᵏ, el error de cada paso hasta 1e-200: mayor diferencia relativa")),
        Oracle("height_gradient", told.gradient_off, 1e-6, say(
            "central differences of the height: largest difference of a slope, m/m",
            "diferencias centrales de la altura: mayor diferencia de una pendiente, m/m")),
        Oracle("steepest_descent", told.elsewhere, 0.05, say(
            f"running water (D8): share of {told.compared} slow descents, begun off the divides, that end elsewhere",
            f"agua que corre (D8): fracción de {told.compared} descensos lentos, lejos de las divisorias, "
            "que termina en otra parte")),
        Oracle("torch_sgd", found.apart_from_torch, 1e-9, say(
            "torch.optim.SGD with the same η and γ on the MLP: largest difference of a weight",
            "torch.optim.SGD con los mismos η y γ en el MLP: mayor diferencia de un peso")),
    )  # fmt: skip


__all__ = ["SHIPPED", "Measured", "check", "measure", "numbers", "oracles", "study"]
