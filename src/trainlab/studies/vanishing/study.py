"""What becomes of the gradient on its way back through 2 to 12 layers, for each activation and initialisation.

Lecture: "Movámonos ahora a un MLP, que rápidamente expondrá las dificultades al entrenar redes neuronales", and further
on: backpropagation "permite teóricamente entrenar redes de profundidad arbitraria".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.finding import Finding, Oracle, Progress, check_seed, no_progress
from trainlab.studies.vanishing.measurement import (
    ACTIVATIONS,
    CLASSES,
    INITS,
    Cells,
    load_digits,
    measure,
)
from trainlab.studies.vanishing.recursions import (
    PASSES,
    Sample,
    draw_networks,
    linear_difference,
    variance,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANDOM = tuple(init for init in INITS if init != "zero")
DRAWS = 200  # networks, over which a mean square is averaged
STANDARD_ERRORS = 5  # that this mean may be off, in any layer of any of the samples
NAMES = {"sigmoid": ("sigmoid", "sigmoide"), "tanh": ("tanh", "tanh"), "relu": ("ReLU", "ReLU")}
SLOPE2 = {"sigmoid": 1 / 16, "tanh": 1.0, "relu": 0.5}  # σ'² around 0, and its mean for ReLU
LARGEST_NETWORK = 3_000_000  # weights


def study(
    *,
    depths: Sequence[int] = (2, 4, 6, 8, 10, 12),
    width: int = 100,
    init: str = "torch",
    networks: int = 3,
    lr: float = 0.1,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Networks of these depths (layers with weights) and this width, before training and after an epoch on digits.

    init: the initialisation of which the layers are drawn; the heat map and the table have all. networks: of each kind,
    of which the median is shown. lr: η of the epoch. Raises InputError.
    """
    say = speaker(lang)
    check(depths, width, init, networks, lr, seed)
    depths = sorted(set(depths))

    def progress(done: int, total: int) -> None:
        on_progress(done, total + len(PASSES) * len(RANDOM))

    cells = measure(depths, width, networks, lr, seed, progress)
    samples = draw_samples(depths[-1], width, seed, partial(after, on_progress, len(cells)))
    linear = largest_linear_difference(depths, width, seed)
    figures: dict[str, Callable[[], Figure | None]] = {
        "gradient_by_layer": partial(draw_layers, cells, depths, init, "before", say),
        "gradient_by_layer_after": partial(draw_layers, cells, depths, init, "after", say),
        "first_layer": partial(draw_map, cells, depths[-1], say),
    }
    for activation in PASSES:
        figures[f"recursion_{activation}"] = partial(draw_recursion, samples, activation, say)
    section = Section(
        say("The gradient in many layers", "El gradiente a través de muchas capas"),
        head=head(depths, say),
        rows=[row(cells, activation, kind, depths, width, say) for activation in ACTIVATIONS for kind in INITS],
        sentences=[seen(say, cells, depths)],
        figures=figures,
    )
    return Finding(section, numbers_of(cells), oracles(samples, linear, say))


def check(depths: Sequence[int], width: int, init: str, networks: int, lr: float, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    check_seed(seed)
    if not depths:
        raise InputError("depths=[] has no network; give at least one number of layers, such as [2,12].")
    for depth in depths:
        if not 2 <= depth <= 50:
            raise InputError(f"depths has {depth}, and a network with hidden layers has from 2 to 50 layers.")
    if not 10 <= width <= 1000:  # the recursions leave out that all units of a layer may be off: 2⁻ⁿ
        raise InputError(f"width={width} has to be from 10 to 1000 units.")
    if width**2 * max(depths) > LARGEST_NETWORK:
        raise InputError(
            f"width={width} with {max(depths)} layers would be {width**2 * max(depths):,} weights, and "
            f"{LARGEST_NETWORK:,} are the most; use a smaller width or fewer layers."
        )
    if init not in INITS:
        raise InputError(f"init={init} is unknown; use one of {', '.join(INITS)}.")
    if not 1 <= networks <= 20:
        raise InputError(f"networks={networks} has to be from 1 to 20 of each kind.")
    if not 0 < lr <= 10:
        raise InputError(f"lr={lr:g} has to be above 0 and at most 10.")


def after(on_progress: Progress, before: int, done: int, total: int) -> None:
    """Tell `on_progress` of the second part of the work. before: how much the first part was. done, total: of the
    second.
    """
    on_progress(before + done, before + total)


def draw_samples(depth: int, width: int, seed: int, on_progress: Progress = no_progress) -> list[Sample]:
    """Random networks of each activation and initialisation that the recursions know. depth: layers."""
    inputs, widths = load_digits().inputs, [64, *[width] * (depth - 1), CLASSES]
    kinds = [(activation, init) for activation in PASSES for init in RANDOM]
    samples = []
    for number, kind in enumerate(kinds):
        on_progress(number, len(kinds))
        samples.append(draw_networks(*kind, widths, inputs, 1000 * seed + number, DRAWS))
    return samples


def largest_linear_difference(depths: Sequence[int], width: int, seed: int) -> float:
    """The largest relative difference between autograd and the product of Jacobians, in linear networks of all these
    depths and initialisations.
    """
    inputs = load_digits().inputs[:50].double()
    return max(linear_difference(depth, width, init, inputs, seed) for depth in depths for init in INITS)


def expected_factor(activation: str, init: str, width: int) -> float:
    """The factor by which, as the recursions say, a hidden layer multiplies the gradient: √(n Var[w] σ'²), with σ' as
    around 0.
    """
    return math.sqrt(width * variance(init, width, width) * SLOPE2[activation])


def head(depths: Sequence[int], say: Say) -> list[str]:
    """The heads of the section's table."""
    deepest, ends = depths[-1], dict.fromkeys((depths[0], depths[-1]))
    return [
        say("activation", "activación"),
        say("initialisation", "inicialización"),
        say("factor per layer, theory", "factor por capa, teoría"),
        say("measured", "medido"),
        *(say(f"‖∂J/∂W₁‖, {depth} layers", f"‖∂J/∂W₁‖, {depth} capas") for depth in ends),
        say(f"after an epoch, {deepest} layers", f"tras una época, {deepest} capas"),
        say("right in the test", "aciertos en test"),
    ]


def row(cells: Cells, activation: str, init: str, depths: Sequence[int], width: int, say: Say) -> list[str]:
    """A row of the section's table: one activation and initialisation, medians over the networks."""
    deepest = cells[activation, init, depths[-1]]
    factor = np.median(deepest.per_layer)
    ends = dict.fromkeys((depths[0], depths[-1]))
    return [
        say(*NAMES[activation]),
        init,
        f"{expected_factor(activation, init, width):.3f}",
        "–" if np.isnan(factor) else f"{factor:.3f}",
        *(f"{first_layer(cells[activation, init, depth].before):.2g}" for depth in ends),
        f"{first_layer(deepest.after):.2g}",
        f"{100 * np.median(deepest.accuracy):.0f} %",
    ]


def first_layer(norms: np.ndarray) -> float:
    """The median over the networks of the gradient's norm in the first layer. norms: (networks, depth)."""
    return float(np.median(norms[:, 0]))


def numbers_of(cells: Cells) -> dict[str, float]:
    """The measured values by name, for results.json."""
    numbers = {}
    for (activation, init, depth), cell in cells.items():
        name = f"{activation}/{init}/{depth}_layers"
        for when, norms in (("before", cell.before), ("after", cell.after)):
            numbers[f"first_layer_{when}/{name}"] = first_layer(norms)
            numbers[f"last_layer_{when}/{name}"] = float(np.median(norms[:, -1]))
        numbers[f"factor_per_layer/{name}"] = float(np.median(cell.per_layer))
        numbers[f"accuracy/{name}"] = float(np.median(cell.accuracy))
    return numbers


def oracles(samples: Sequence[Sample], linear: float, say: Say) -> tuple[Oracle, ...]:
    """What the gradients are checked against: products of Jacobians, and the recursions of Glorot and Bengio and of
    He et al.
    """

    def worst(activation: str) -> float:
        mine = [sample for sample in samples if sample.activation == activation]
        return float(max(s.deviations(name).max() for s in mine for name in ("values", "gradients", "weights")))

    return (
        Oracle(
            "linear_jacobians",
            linear,
            1e-12,
            say(
                "the product of Jacobians of linear networks: largest relative difference",
                "producto de jacobianos de redes lineales: mayor diferencia relativa",
            ),
        ),
        Oracle(
            "glorot_recursion",
            worst("tanh"),
            STANDARD_ERRORS,
            say(
                f"Glorot and Bengio 2010, tanh around 0: mean of {DRAWS} networks, in standard errors",
                f"Glorot y Bengio 2010, tanh cerca de 0: media de {DRAWS} redes, en errores estándar",
            ),
        ),
        Oracle(
            "he_recursion",
            worst("relu"),
            STANDARD_ERRORS,
            say(
                f"He et al. 2015, ReLU: mean of {DRAWS} networks, in standard errors",
                f"He et al. 2015, ReLU: media de {DRAWS} redes, en errores estándar",
            ),
        ),
    )


def seen(say: Say, cells: Cells, depths: Sequence[int]) -> str:
    """The paragraph: what was seen, beside what the lecture says."""
    deepest = depths[-1]

    def norm(activation: str, init: str, depth: int = deepest) -> str:
        return f"{first_layer(cells[activation, init, depth].before):.2g}"

    def right(activation: str, init: str) -> str:
        return f"{100 * np.median(cells[activation, init, deepest].accuracy):.0f} %"

    shallow, deep = norm("sigmoid", "torch", depths[0]), norm("sigmoid", "torch")
    tanh, relu = norm("tanh", "torch"), norm("relu", "torch")
    xavier, kaiming = norm("tanh", "xavier"), norm("relu", "kaiming")
    return say(
        "The lecture says that backpropagation in theory trains networks of any depth, and that an MLP soon shows "
        "the difficulties. Here they are as numbers. With sigmoids and the initialisation of torch's own layers the "
        f"gradient in the first layer is {shallow} with {depths[0]} layers and {deep} with {deepest}: each layer "
        "multiplies it by √(n Var[w]) σ', and σ' is ¼ at most. With tanh and ReLU it is of about the same size in "
        "all layers, since the values fade on their way forward as the gradient does on its way back: it is the "
        f"whole network that stands still ({tanh} and {relu}). An initialisation made for the activation prevents "
        f"that: xavier for tanh ({xavier}), kaiming for ReLU ({kaiming}). After one epoch these have "
        f"{right('tanh', 'xavier')} and {right('relu', 'kaiming')} of the test digits right; sigmoids have "
        f"{right('sigmoid', 'xavier')}, and ReLU with torch's initialisation has {right('relu', 'torch')}. Zero "
        "weights send back exactly nothing.",
        "La clase dice que backpropagation permite en teoría entrenar redes de cualquier profundidad, y que un MLP "
        "pronto muestra las dificultades. Aquí están en números. Con sigmoides y la inicialización de torch, el "
        f"gradiente de la primera capa es {shallow} con {depths[0]} capas y {deep} con {deepest}: cada capa lo "
        "multiplica por √(n Var[w]) σ', y σ' vale a lo más ¼. Con tanh y ReLU es de tamaño parecido en todas las "
        "capas, porque los valores se apagan hacia adelante tal como el gradiente hacia atrás: es la red entera la "
        f"que no se mueve ({tanh} y {relu}). Una inicialización hecha para la activación lo evita: xavier para tanh "
        f"({xavier}), kaiming para ReLU ({kaiming}). Tras una época, estas aciertan el {right('tanh', 'xavier')} y "
        f"el {right('relu', 'kaiming')} de los dígitos de test; las sigmoides, el {right('sigmoid', 'xavier')}, y "
        f"ReLU con la inicialización de torch, el {right('relu', 'torch')}. Con pesos nulos no vuelve absolutamente "
        "nada.",
    )


def draw_layers(cells: Cells, depths: Sequence[int], init: str, when: str, say: Say) -> Figure:
    """The gradient's norm in each layer, a line for each depth, a panel for each activation."""
    from trainlab.figures.studies.vanishing import norms_by_layer

    panels = {
        say(*NAMES[activation]): [np.median(getattr(cells[activation, init, depth], when), axis=0) for depth in depths]
        for activation in ACTIVATIONS
    }
    moments = {"before": say("before training", "antes de entrenar"), "after": say("after an epoch", "tras una época")}
    shown = [cells[activation, init, depth] for activation in ACTIVATIONS for depth in depths]
    both = np.concatenate([np.median(norms, axis=0) for cell in shown for norms in (cell.before, cell.after)])
    limits = float(both[both > 0].min(initial=0.1)), float(both.max(initial=1))
    return norms_by_layer(panels, f"init={init}", moments[when], limits, say)


def draw_map(cells: Cells, depth: int, say: Say) -> Figure:
    """The first layer's gradient of the deepest network, activation × initialisation, before and after."""
    from trainlab.figures.studies.vanishing import first_layer_map

    def table(read: str) -> np.ndarray:
        values = [[getattr(cells[activation, init, depth], read) for init in INITS] for activation in ACTIVATIONS]
        return np.array([[np.median(v[:, 0] if v.ndim == 2 else v) for v in line] for line in values])

    return first_layer_map(
        [say(*NAMES[a]) for a in ACTIVATIONS], INITS, depth, (table("before"), table("after")), table("accuracy"), say
    )


def draw_recursion(samples: Sequence[Sample], activation: str, say: Say) -> Figure:
    """Mean squares in each layer, of the networks and of the recursion."""
    from trainlab.figures.studies.vanishing import recursion_and_networks

    lines = []
    for one in samples:
        if one.activation == activation:
            both = [
                (getattr(one.predicted, name), one.ratios(name).mean(axis=0), one.standard_error(name))
                for name in ("values", "gradients")
            ]
            lines.append((one.init, both))
    source = "He et al. 2015, ReLU" if activation == "relu" else "Glorot & Bengio 2010, tanh"
    return recursion_and_networks(lines, source, DRAWS, say)
