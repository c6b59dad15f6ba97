"""Batches instead of all examples: how far their gradients stray, what they cost, and where SGD with them ends.

Lecture: "Stochastic Gradient Descent (SGD) aprovecha la fuerza de los promedios". Digits, an MLP of this repository.
The gradient noise scale is McCandlish et al. 2018 (arXiv 1812.06162). Each file is a part: `gradients`, `training`,
`ball`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

import torch

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, Series, speaker
from trainlab.runtime.hardware import torch_threads
from trainlab.studies.digits import digits_as_seen
from trainlab.studies.finding import Finding, Oracle, Progress, no_progress
from trainlab.studies.minibatch.ball import ETAS, Balls, measure_balls
from trainlab.studies.minibatch.gradients import (
    NoiseScale,
    Spread,
    clouds,
    enumerated_spread,
    epoch_mean_gap,
    exact_noise_scale,
    expected_spread,
    per_example_gradients,
    sampled_spread,
    sizes_up_to,
    two_batch_noise_scale,
    uphill_share,
)
from trainlab.studies.minibatch.training import (
    FIRST_ETA,
    Cost,
    Task,
    cost_of,
    least_steps_and_examples,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

CLOUDS = (1, 16, 256)  # the batch sizes whose gradients are drawn one by one
FEW, FEWER = 8, 6  # examples of which every batch is looked at: without replacement, and with it, of up to three
MOST_BYTES = 2**31  # of the gradients of all examples


@dataclass(frozen=True)
class Noise:
    """How far the gradients of batches stray, for a network before training.

    examples: N. exact: from the gradients of all examples; estimated: from pairs of batches. spreads: sampled, by size,
    without replacement and with. enumerated: the largest relative difference from the formula over every batch of few
    examples, without replacement and with. epoch_gap: relative difference between the mean over an epoch's batches and
    the gradient. uphill: by batch size, the share of batches with g_B·g < 0. clouds: by batch size, gradients (K, 2).
    """

    examples: int
    exact: NoiseScale
    estimated: NoiseScale
    spreads: list[Spread]
    enumerated: tuple[float, float]
    epoch_gap: float
    uphill: dict[int, float]
    clouds: dict[int, np.ndarray]

    def expected(self, spread: Spread) -> float:
        """E‖g_B − g‖² by the formula, for the batches of a sampled spread."""
        return expected_spread(self.exact.trace, self.examples, spread.batch_size, replacement=spread.replacement)

    @property
    def away(self) -> float:
        """The largest difference between a sampled spread and the formula, in standard errors; where a batch is all
        examples there is none.
        """
        some = [spread for spread in self.spreads if self.expected(spread) > 0]
        return max(abs(spread.mean - self.expected(spread)) / spread.error for spread in some)


@dataclass(frozen=True)
class Found:
    """The three parts of the study. typical: a batch size. at_target: the noise scale at the end of a descent with
    batches of that size.
    """

    noise: Noise
    costs: list[Cost]
    balls: Balls
    typical: int
    at_target: NoiseScale

    @property
    def critical(self) -> float:
        """E_min/S_min, the batch size from which on larger batches save few steps."""
        steps, examples = least_steps_and_examples(self.costs)
        return examples / steps if steps else float("inf")


def study(
    *,
    batch_sizes: Sequence[int] = (1, 4, 16, 64, 256),
    hidden: Sequence[int] = (32,),
    target: float = 0.1,
    runs: int = 3,
    particles: int = 5000,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Measure batches of these sizes, and of all examples.

    hidden: widths of the MLP. target: the training loss to come down to, in nats. runs: seeds of each descent.
    particles: for the stationary variance. Raises InputError for what cannot be measured.
    """
    say = speaker(lang)
    examples = digits_as_seen()
    inputs, labels = examples.inputs, examples.labels
    sizes = sorted({*batch_sizes, len(labels)})
    task = Task(inputs, labels, 10, hidden, target)
    check(task, sizes, runs, particles, seed)
    with torch_threads(1):  # faster, and the time of the one thread is then all the time there is
        found = measure(task, sizes, runs, particles, seed, on_progress)
    section = Section(
        say(
            "Mini-batches: how good the average of a few is", "Mini-batches: qué tan bueno es el promedio de unos pocos"
        ),
        head=[
            say("batch B", "batch B"),
            say("strays by, ‖g_B − g‖/‖g‖", "se desvía, ‖g_B − g‖/‖g‖"),
            say("uphill", "cuesta arriba"),
            say("best η", "mejor η"),
            say(f"steps to loss {target:g}", f"pasos hasta pérdida {target:g}"),
            say("epochs", "épocas"),
            say("seconds", "segundos"),
        ],
        rows=[row(found, cost) for cost in found.costs],
        sentences=seen(say, found, target),
        figures={
            "gradient_noise": partial(draw_noise, found, say),
            "loss_against_cost": partial(draw_loss, found, target, say),
            "batch_size_cost": partial(draw_cost, found, target, say),
            "noise_ball": partial(draw_ball, found, say),
        },
        series={"batch": sweep(found, target, say)},
    )
    return Finding(section, numbers_of(found), oracles(found, say))


def check(task: Task, sizes: Sequence[int], runs: int, particles: int, seed: int) -> None:
    """Raises InputError for an option that is out of its range, or for a network that would take too much memory."""
    if sizes[0] < 1 or sizes[-1] > len(task.labels) or len(sizes) < 2:
        raise InputError(
            f"batch_sizes={[s for s in sizes if s != len(task.labels)]} have to be whole numbers from 1 to "
            f"{len(task.labels) - 1:,}; all {len(task.labels):,} examples are taken anyway."
        )
    if runs < 1 or not 100 <= particles <= 1_000_000 or seed < 0:
        raise InputError(
            f"runs={runs} has to be at least 1, particles={particles} from 100 to 1000000, and seed={seed} at least 0."
        )
    if not 0 < task.target < log(task.classes):
        raise InputError(
            f"target={task.target:g} has to be a loss between 0 and {log(task.classes):.2f}, which guessing has."
        )
    widths = [task.inputs[0].numel(), *task.hidden, task.classes]
    weights = sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
    if min(widths) < 1:
        raise InputError(f"hidden={list(task.hidden)} has a layer without neurons; every width must be at least 1.")
    if weights * len(task.labels) * 8 > MOST_BYTES:
        raise InputError(
            f"hidden={list(task.hidden)} makes {weights:,} weights, and the gradients of {len(task.labels):,} examples "
            f"would take more than {MOST_BYTES >> 30} GB; make it smaller."
        )


def measure(
    task: Task, sizes: Sequence[int], runs: int, particles: int, seed: int, on_progress: Progress = no_progress
) -> Found:
    """Measure all three parts. sizes: of the batches, ascending, the last one N. particles: for the stationary
    variance.
    """
    parts = len(sizes) + 4
    on_progress(0, parts)
    noise = measure_noise(task, sizes, seed)
    on_progress(2, parts)
    balls = measure_balls(particles, seed)
    on_progress(3, parts)
    costs: list[Cost] = []
    for size in sizes:
        first = costs[-1].eta if costs else FIRST_ETA  # greater batches allow greater η
        costs.append(cost_of(task, size, first, range(seed, seed + runs)))
        on_progress(3 + len(costs), parts)
    typical = min(costs, key=lambda cost: abs(log(cost.batch_size / noise.exact.ratio)))
    net = task.network(seed)
    net.load_state_dict(typical.descents[0].weights)
    at_target = exact_noise_scale(per_example_gradients(net.double(), task.inputs.double(), task.labels))
    on_progress(parts, parts)
    return Found(noise, costs, balls, typical.batch_size, at_target)


def measure_noise(task: Task, sizes: Sequence[int], seed: int) -> Noise:
    """The gradients of a network before training, in float64. sizes: of the batches."""
    net, inputs, labels = task.network(seed).double(), task.inputs.double(), task.labels
    generator = torch.Generator().manual_seed(seed)
    each = per_example_gradients(net, inputs, labels)
    strays = each - each.mean(0)
    between = strays @ strays.T
    spreads = [
        sampled_spread(between, size, replacement=replacement, generator=generator)
        for replacement in (False, True)
        for size in sizes_up_to(len(each))
    ]
    few = (
        [enumerated_spread(net, inputs[:FEW], labels[:FEW], size, replacement=False) for size in range(1, FEW)],
        [enumerated_spread(net, inputs[:FEWER], labels[:FEWER], size, replacement=True) for size in (1, 2, 3)],
    )
    return Noise(
        len(labels),
        exact_noise_scale(each),
        two_batch_noise_scale(each @ each.T, generator),
        spreads,
        (relative_difference(few[0]), relative_difference(few[1])),
        max(epoch_mean_gap(net, inputs, labels, size, seed) for size in {64, *sizes} if size >= 16),
        {size: uphill_share(each, size, generator) for size in sizes},
        clouds(each, dict.fromkeys([*CLOUDS, *sizes]), generator),
    )


def relative_difference(pairs: Sequence[tuple[float, float]]) -> float:
    """The largest relative difference in pairs of (found, expected)."""
    return max(abs(found - expected) / expected for found, expected in pairs)


def numbers_of(found: Found) -> dict[str, float]:
    """The measured values by name, for results.json."""
    noise, balls = found.noise, found.balls
    numbers = {
        "spread_of_examples": noise.exact.trace,
        "gradient_square": noise.exact.square,
        "noise_scale": noise.exact.ratio,
        "noise_scale/two_batches": noise.estimated.ratio,
        "noise_scale/at_target": found.at_target.ratio,
        "critical_batch_size": found.critical,
    }
    for cost in found.costs:
        name = f"B={cost.batch_size}"
        numbers |= {
            f"{name}/uphill_share": noise.uphill[cost.batch_size],
            f"{name}/best_eta": cost.eta,
            f"{name}/steps": float(cost.steps.mean()),
            f"{name}/steps_sd": spread_over_runs(cost.steps),
            f"{name}/seconds": float(cost.seconds.mean()),
        }
    for kind, variances in zip(balls.kinds, balls.variance, strict=True):
        name = f"variance/gamma={kind.momentum:g},B={kind.batch_size}{',epochs' * kind.epochs}"
        numbers |= {f"{name},eta={eta:g}": float(v) for eta, v in zip(ETAS, variances, strict=True)}
    return numbers


def spread_over_runs(values: np.ndarray) -> float:
    """The sample standard deviation; 0 for a single run."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def row(found: Found, cost: Cost) -> list[str]:
    """A row of the section's table: one batch size."""
    noise, size = found.noise, cost.batch_size
    strays = (expected_spread(noise.exact.trace, noise.examples, size, replacement=False) / noise.exact.square) ** 0.5
    return [
        f"{size:,}",
        f"{strays:.2f}",
        f"{noise.uphill[size]:.1%}",
        f"{cost.eta:g}",
        f"{cost.steps.mean():,.0f} ± {spread_over_runs(cost.steps):,.0f}",
        f"{cost.steps.mean() * size / noise.examples:.1f}",
        f"{cost.seconds.mean():.2f}",
    ]


def oracles(found: Found, say: Say) -> tuple[Oracle, ...]:
    """What gradient noise and SGD's variance are checked against: enumerations and exact formulas."""
    noise = found.noise
    two = max(
        abs(noise.estimated.trace - noise.exact.trace) / noise.estimated.trace_error,
        abs(noise.estimated.square - noise.exact.square) / noise.estimated.square_error,
    )
    formula, relative = "S/B·(N − B)/(N − 1)", say("relative difference", "diferencia relativa")
    errors = say("in standard errors", "en errores estándar")
    return (
        Oracle(
            "epoch_mean",
            noise.epoch_gap,
            1e-12,
            say("the gradient of all examples, against the mean of an epoch's batches: ", "gradiente de todos los "
                "ejemplos, frente a la media de los batches de una época: ") + relative,
        ),
        Oracle(
            "spread_without_replacement",
            noise.enumerated[0],
            1e-12,
            say(f"{formula} over every batch of {FEW} examples: ", f"{formula} sobre todo batch de {FEW} ejemplos: ")
            + relative,
        ),
        Oracle(
            "spread_with_replacement",
            noise.enumerated[1],
            1e-12,
            say(f"S/B over every batch of {FEWER} examples: ", f"S/B sobre todo batch de {FEWER} ejemplos: ")
            + relative,
        ),
        Oracle(
            "spread_sampled",
            noise.away,
            5.0,
            say(f"both formulas on {noise.examples:,} examples, ", f"ambas fórmulas, {noise.examples:,} ejemplos, ")
            + errors,
        ),
        Oracle(
            "noise_scale",
            two,
            5.0,
            say(
                "S and ‖g‖² from the gradients of all examples, against those from pairs of batches, ",
                "S y ‖g‖² de los gradientes de todos los ejemplos, frente a los de pares de batches, ",
            )
            + errors,
        ),
        Oracle(
            "stationary_variance",
            found.balls.away,
            5.0,
            "(1 + γ)ησ²/((1 − γ)λ(2(1 + γ) − ηλ)), "
            + say("the variance at the end of SGD, ", "la varianza final de SGD, ")
            + errors,
        ),
    )  # fmt: skip


def seen_by(cost: Cost) -> float:
    """How many examples the runs with this batch size see until the target, on average, repeats counted."""
    return float(cost.steps.mean() * cost.batch_size)


def seen(say: Say, found: Found, target: float) -> list[str]:
    """What was seen, beside what the lecture says."""
    noise, costs = found.noise, found.costs
    first, last = costs[0], costs[-1]
    fastest = min(costs, key=lambda cost: cost.seconds.mean())
    uphill = noise.uphill[first.batch_size]
    shuffled, drawn = found.balls.variance[-1], found.balls.expected[-1]
    kept = shuffled[0] / drawn[0]
    return [
        say(
            "The lecture calls a batch's gradient an unbiased estimate of the whole one. It is, exactly: an epoch's "
            "batches average to it up to rounding. The mean square of how far one strays is S/B·(N − B)/(N − 1): with "
            f"B = {first.batch_size} a small first step would go uphill in {uphill:.1%} of the cases; with B = N "
            "nothing is left, which the usual S/B does not see.",
            "La clase llama al gradiente de un batch estimador insesgado del total. Lo es, exactamente: la media de "
            "los batches de una época es el gradiente total, salvo redondeo. El de un batch se desvía, en media "
            f"cuadrática, S/B·(N − B)/(N − 1): con B = {first.batch_size} un primer paso pequeño iría cuesta arriba "
            f"en el {uphill:.1%} de los casos; con B = N no queda nada, lo que el habitual S/B no ve.",
        ),
        say(
            f"To a training loss of {target:g}, each size with its best η, batches of {first.batch_size} take "
            f"{first.steps.mean():,.0f} steps and all {last.batch_size:,} examples {last.steps.mean():,.0f}; the "
            f"former see {seen_by(first):,.0f} examples and the latter {seen_by(last):,.0f}. In processor time "
            f"B = {fastest.batch_size} was fastest (the lecture: 32 to 256 are common). Steps and examples balance at "
            f"a critical batch size of {found.critical:.0f}; the noise scale S/‖g‖² is {noise.exact.ratio:.0f} before "
            f"training and {found.at_target.ratio:,.0f} at the end.",
            f"Hasta una pérdida de entrenamiento de {target:g}, cada tamaño con su mejor η, los batches de "
            f"{first.batch_size} necesitan {first.steps.mean():,.0f} pasos y los {last.batch_size:,} ejemplos juntos, "
            f"{last.steps.mean():,.0f}; aquellos ven {seen_by(first):,.0f} ejemplos y estos, {seen_by(last):,.0f}. En "
            f"tiempo de procesador ganó B = {fastest.batch_size} (la clase: lo común es de 32 a 256). Pasos y ejemplos "
            f"se equilibran en un tamaño crítico de {found.critical:.0f}; la escala de ruido S/‖g‖² es "
            f"{noise.exact.ratio:.0f} antes de entrenar y {found.at_target.ratio:,.0f} al final.",
        ),
        say(
            "With a constant η SGD does not come to rest but ends in a ball: half of η or twice the batch halves its "
            "variance, and γ = 0.9 makes it some 19 times as large at the same small η. This holds for batches drawn "
            f"independently; dealt out by shuffled epochs, as in training, they end closer (at ηλ = {ETAS[0]:g}, with "
            f"{kept:.0%} of the variance).",
            "Con η constante SGD no llega a detenerse: termina en una bola. La mitad de η o el doble de batch reducen "
            "su varianza a la mitad, y γ = 0.9 la hace unas 19 veces mayor con la misma η pequeña. Esto vale para "
            "batches sorteados de forma independiente; repartidos por épocas barajadas, como al entrenar, terminan más "
            f"cerca (con ηλ = {ETAS[0]:g}, el {kept:.0%} de la varianza).",
        ),
    ]


def draw_noise(found: Found, say: Say) -> Figure:
    """Clouds of gradients, and the measured spread beside the formula."""
    from trainlab.figures.studies.minibatch import gradient_noise

    noise = found.noise
    measured = {
        replacement: [(s.batch_size, s.mean) for s in noise.spreads if s.replacement is replacement]
        for replacement in (False, True)
    }
    drawn = {size: noise.clouds[size] for size in CLOUDS}
    return gradient_noise(drawn, noise.exact.square**0.5, noise.exact.trace, noise.examples, measured, say)


def draw_loss(found: Found, target: float, say: Say) -> Figure:
    """The loss against examples seen and against seconds, for each batch size."""
    from trainlab.figures.studies.minibatch import loss_against_cost

    curves = [(cost.batch_size, cost.eta, cost.descents[0].curve) for cost in found.costs]
    return loss_against_cost(curves, found.noise.examples, target, say)


def draw_cost(found: Found, target: float, say: Say) -> Figure:
    """Steps and seconds to the target against the batch size."""
    from trainlab.figures.studies.minibatch import batch_size_cost

    sizes = [cost.batch_size for cost in found.costs]
    steps, seconds = ([getattr(cost, name) for cost in found.costs] for name in ("steps", "seconds"))
    return batch_size_cost(sizes, steps, seconds, least_steps_and_examples(found.costs), target, say)


def draw_ball(found: Found, say: Say) -> Figure:
    """A descent on a bowl that ends in a ball, and the variance beside the formula."""
    from trainlab.figures.studies.minibatch import noise_ball
    from trainlab.studies.minibatch.ball import PATH_CURVATURES

    balls = found.balls
    kinds = [(kind.momentum, kind.batch_size, kind.epochs) for kind in balls.kinds]
    bowl = {eta: (balls.paths[eta], balls.radii[eta]) for eta in balls.paths}
    return noise_ball(bowl, PATH_CURVATURES, kinds, ETAS, balls.variance, say)


def sweep(found: Found, target: float, say: Say) -> Series:
    """The gradients of each batch size, and the descent that it makes: the pictures of a slider."""

    def draw_each() -> Iterator[Figure]:
        from trainlab.figures.studies.minibatch import one_size_each

        curves = [(cost.batch_size, cost.eta, cost.descents[0].curve) for cost in found.costs]
        noise = found.noise
        return one_size_each(curves, noise.clouds, noise.exact.square**0.5, noise.examples, target, say)

    return Series("B", [f"{cost.batch_size:,}" for cost in found.costs], draw_each)
