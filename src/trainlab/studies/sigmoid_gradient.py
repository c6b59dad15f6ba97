"""The gradient of a sigmoid perceptron, ∂J/∂w_i = −Σ (t − o) o (1 − o) x_i, and where it vanishes.

Lecture: "Si incorporamos una función de activación no lineal, la situación no cambia mucho". With J = ½ Σ (t − o)² and
o = σ(z) the derivative by z is −(t − o) o (1 − o): at most 4/27, at z = −ln 2 for t = 1, and next to nothing where |z|
is large, also where the answer is wrong. Cross-entropy, −t ln o − (1 − t) ln(1 − o), cancels the factor o (1 − o).

A unit with t = 1 that starts at z₀ < 0 follows dz/dτ = o (1 − o)² with ½ Σ (t − o)², and dz/dτ = 1 − o with
cross-entropy. Separated and integrated up to z = 0, where it begins to be right, that takes
e^|z₀| + 3|z₀| + 2.5 − 3e^z₀ − ½e^2z₀, and |z₀| + 1 − e^z₀.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.data.sources import digits
from trainlab.errors import InputError
from trainlab.models.perceptron import Perceptron
from trainlab.objective import HalfMSE
from trainlab.optim import GradientDescent, train_step
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.finding import Finding, Oracle, Progress, check_seed, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEEPEST, LARGEST = -math.log(2), 4 / 27  # of o (1 − o)²: its maximum, by setting the derivative to 0
BEND_OF_HALF_SQUARE, BEND_OF_CROSS_ENTROPY = 1 / 16, 1 / 4  # max|d/dz| of o (1 − o)² and of 1 − o where z < 0
STARTS = 17  # from which a wrong unit is set right, in one network
MOST_STEPS = 300_000  # some 30 seconds
WIDE = np.linspace(-15, 15, 3001)  # z, for the curves


@dataclass(frozen=True)
class Gradients:
    """The gradient of one perceptron on all examples, a sum and not a mean, with weights of one size.

    scale: standard deviation of the weights. factor: mean of o (1 − o). size, cross_entropy: ‖∂J/∂w‖ with the lecture's
    loss, and with cross-entropy. autograd, complex_step, half_mse: the largest difference of each from the lecture's
    formula.
    """

    scale: float
    factor: float
    size: float
    cross_entropy: float
    autograd: float
    complex_step: float
    half_mse: float


@dataclass(frozen=True)
class Recovery:
    """How wrong units with the target 1 become right by gradient descent.

    starts: float64 (K,), pre-activations below 0. steps: int (K,), until each has become positive. time: (K,), what the
    differential equation takes. step: h, how far one step goes along the gradient by z. bend: the most that |d/dz| of
    that gradient is on the way. path: (T,), o after 0, 1, … steps of the unit that starts furthest from 0.
    """

    starts: np.ndarray
    steps: np.ndarray
    time: np.ndarray
    step: float
    bend: float
    path: np.ndarray

    @property
    def excess(self) -> float:
        """|steps · step − time| as a multiple of the most that Euler's method may be off.

        A step from z to z + h g(z) stands for the time ∫ dz/g. On the way g changes by c h of itself at most, with
        c = max|g'|: the time is off by a share c h/2/(1 − c h), and by the last step, which goes beyond 0.
        """
        h, ch = self.step, self.bend * self.step
        allowed = h + self.steps * h * (ch / 2) / (1 - ch)
        return float((np.abs(self.steps * h - self.time) / allowed).max())


@dataclass(frozen=True)
class Measured:
    """What the study measured: gradients by the size of the weights, and how a wrong unit recovers with each loss."""

    gradients: list[Gradients]
    half_square: Recovery
    cross_entropy: Recovery
    largest: float  # |∂J/∂z| of one example, by autograd on a fine grid
    steepest: float  # where it is


def study(
    *,
    examples: int = 500,
    scales: Sequence[float] = (0.01, 0.1, 1.0, 10.0),
    start: float = -8.0,
    lr: float = 0.25,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """The formula against autograd on digits, then how long a wrong unit takes to become right.

    examples: digits that the gradient is summed over. scales: standard deviations of the weights. start: the lowest
    pre-activation that the unit is set right from. lr: η of that. Raises InputError.
    """
    say = speaker(lang)
    check(examples, scales, start, lr, seed)
    found = measure(examples, scales, start, lr, seed, on_progress)
    numbers = {"largest_gradient_by_z": found.largest, "largest_at_z": found.steepest}
    for one in found.gradients:
        numbers[f"gradient/weights={one.scale:g}"] = one.size
        numbers[f"gradient_cross_entropy/weights={one.scale:g}"] = one.cross_entropy
        numbers[f"mean_factor/weights={one.scale:g}"] = one.factor
    numbers["steps_to_right/half_square"] = float(found.half_square.steps[0])
    numbers["steps_to_right/cross_entropy"] = float(found.cross_entropy.steps[0])
    section = Section(
        say("The gradient of a sigmoid perceptron", "El gradiente de un perceptrón sigmoide"),
        head=[
            say("sd of the weights", "desv. de los pesos"),
            say("mean o(1 − o)", "o(1 − o) medio"),
            "‖∂J/∂w‖",
            say("formula − autograd", "fórmula − autograd"),
            say("‖∂/∂w‖ cross-entropy", "‖∂/∂w‖ entropía cruzada"),
        ],
        rows=[
            [
                f"{one.scale:g}",
                f"{one.factor:.2g}",
                f"{one.size:.4g}",
                f"{one.autograd:.1e}",
                f"{one.cross_entropy:.4g}",
            ]
            for one in found.gradients
        ],
        sentences=[seen(say, found)],
        figures={
            "where_it_vanishes": partial(draw_where, say),
            "wrong_and_sure": partial(draw_recovery, found, say),
        },
    )
    return Finding(section, numbers, oracles(found, say))


def check(examples: int, scales: Sequence[float], start: float, lr: float, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    check_seed(seed)
    if not 1 <= examples <= 1797:
        raise InputError(f"examples={examples} has to be from 1 to 1797, all the digits that there are.")
    if not scales:
        raise InputError("scales=[] has no standard deviation of the weights; give at least one, such as [0.1].")
    for scale in scales:
        if not 0 < scale <= 1000:
            raise InputError(f"scales has {scale:g}, and a standard deviation of weights is above 0 and at most 1000.")
    if not 0 < lr <= 1:
        raise InputError(f"lr={lr:g} has to be above 0 and at most 1, so that steps follow the gradient's curve.")
    if not start < 0:
        raise InputError(f"start={start:g} has to be below 0, where a unit with the target 1 is wrong.")
    if start < -30 or time_of_half_square(start) / (2 * lr) > MOST_STEPS:
        most = math.log(2 * lr * MOST_STEPS)
        raise InputError(
            f"start={start:g} would take e^{-start:g}/(2·lr) steps, and {MOST_STEPS:,} are the most; start at "
            f"{-math.floor(10 * most - 1) / 10:g} or above."
        )


def measure(
    examples: int, scales: Sequence[float], start: float, lr: float, seed: int, on_progress: Progress = no_progress
) -> Measured:
    """Measure the gradients for each scale of the weights, and both recoveries."""
    inputs, targets = ten_digits(examples)
    random = np.random.default_rng(seed)
    gradients = []
    for scale in scales:
        weights = scale * random.standard_normal((10, inputs.shape[1]))
        biases = scale * random.standard_normal(10)
        gradients.append(compare(inputs, targets, weights, biases, scale))
    starts = np.linspace(start, start / STARTS, STARTS)
    slow = recover(half_square, np.vectorize(time_of_half_square)(starts), BEND_OF_HALF_SQUARE, starts, lr, on_progress)
    quick = recover(cross_entropy, np.vectorize(time_of_cross_entropy)(starts), BEND_OF_CROSS_ENTROPY, starts, lr)
    size = np.abs(by_autograd(half_square, WIDE))
    return Measured(gradients, slow, quick, float(size.max()), float(WIDE[size.argmax()]))


def ten_digits(examples: int) -> tuple[np.ndarray, np.ndarray]:
    """The first digits: pixels in [0, 1], float64 (n, 64), and the class as ten targets of 0 or 1, float64 (n, 10)."""
    whole = digits.load(test_fraction=0, val_fraction=0).train
    images = whole.all_images[:examples].flatten(1).double() / 255
    return images.numpy(), np.eye(10)[whole.labels[:examples].numpy()]


def lectures_gradient(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """−Σ_d (t_d − o_d) o_d (1 − o_d) x_d for K units: (n, F), (n, K), (K, F), (K,) → (K, F) and, with x = 1, (K,)."""
    o = sigmoid(inputs @ weights.T + biases)
    signal = (targets - o) * o * (1 - o)
    return -signal.T @ inputs, -signal.sum(axis=0)


def compare(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, biases: np.ndarray, scale: float
) -> Gradients:
    """The lecture's formula against this repository's perceptron with autograd, and against complex steps."""
    by_weights, by_biases = lectures_gradient(inputs, targets, weights, biases)
    net = perceptron(weights, biases)
    x, t = torch.from_numpy(inputs), torch.from_numpy(targets)
    autograd = gradient_of(net, half_square(net(x), t))
    mean = gradient_of(net, HalfMSE()(net(x), t.argmax(1)))
    o = sigmoid(inputs @ weights.T + biases)
    return Gradients(
        scale,
        factor=float((o * (1 - o)).mean()),
        size=float(np.linalg.norm(by_weights)),
        cross_entropy=float(np.linalg.norm((targets - o).T @ inputs)),
        autograd=max(largest(autograd[0] - by_weights), largest(autograd[1] - by_biases)),
        complex_step=largest(complex_step_gradient(inputs, targets, weights, biases) - by_weights),
        half_mse=largest(mean[0] - by_weights / len(inputs)),
    )


def complex_step_gradient(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> np.ndarray:
    """∂J/∂w as Im J(w + ih)/h, (K, F): a derivative to rounding without any formula for it (Squire and Trapp 1998)."""
    h = 1e-30
    gradient = np.empty_like(weights)
    for i in range(weights.shape[1]):
        moved = weights.astype(complex)
        moved[:, i] += 1j * h  # of all units at once: each has its own part of J
        outputs = sigmoid(inputs @ moved.T + biases)
        gradient[:, i] = (0.5 * (targets - outputs) ** 2).sum(axis=0).imag / h
    return gradient


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1/(1 + e^−z) without overflow, of real or complex z."""
    positive = z.real >= 0
    small = np.exp(np.where(positive, -z, z))
    return np.where(positive, 1, small) / (1 + small)


def perceptron(weights: np.ndarray, biases: np.ndarray) -> Perceptron:
    """This repository's perceptron with the sigmoid and these weights (K, F) and biases (K,), float64."""
    net = Perceptron((weights.shape[1],), len(weights), activation="sigmoid", init="zero").double()
    net.linear.weight.data = torch.from_numpy(weights)
    net.linear.bias.data = torch.from_numpy(biases)
    return net


def gradient_of(net: Perceptron, value: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """∂value/∂w, (K, F), and ∂value/∂b, (K,), of a perceptron."""
    by_weights, by_biases = torch.autograd.grad(value, [net.linear.weight, net.linear.bias])
    return by_weights.numpy(), by_biases.numpy()


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """½ Σ (t − o)²: the sum that the lecture's formula is the derivative of."""
    return (targets - outputs).square().sum() / 2


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """−Σ (t ln o + (1 − t) ln(1 − o)), in nats."""
    return F.binary_cross_entropy(outputs, targets, reduction="sum")


def by_autograd(loss: Callable[[Tensor, Tensor], Tensor], z: np.ndarray) -> np.ndarray:
    """∂J/∂z of one example with target 1, for each z, (K,)."""
    variable = torch.from_numpy(z).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(variable.sigmoid(), torch.ones_like(variable)), variable)
    return gradient.numpy()


def recover(
    loss: Callable[[Tensor, Tensor], Tensor],
    time: np.ndarray,
    bend: float,
    starts: np.ndarray,
    lr: float,
    on_progress: Progress = no_progress,
) -> Recovery:
    """Gradient descent on one example, x = 1 and t = 1, by as many units of one perceptron as there are starts.

    With a weight and a bias, z moves by 2η along its gradient in a step. time, bend: see `Recovery`.
    """
    net = perceptron(starts[:, None] / 2, starts / 2)
    x, target = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, len(starts), dtype=torch.float64)
    optimizer = GradientDescent(net.parameters(), lr=lr)
    steps, path = np.full(len(starts), -1), []
    expected = int(time[0] / (2 * lr))
    for step in range(2 * expected + 100):
        outputs, _ = train_step(net, loss, optimizer, x, target)
        right = outputs[0].numpy() > 0.5
        path.append(outputs[0, 0].item())
        steps[right & (steps < 0)] = step
        if right.all():
            break
        if step % 1000 == 0:
            on_progress(min(step, expected), expected)
    return Recovery(starts, steps, time, 2 * lr, bend, np.array(path))


def time_of_half_square(z: float) -> float:
    """∫ dz / (o (1 − o)²) from z to 0; the integrand is e^−z + 3 + 3e^z + e^2z."""
    return math.exp(-z) - 3 * z + 2.5 - 3 * math.exp(z) - 0.5 * math.exp(2 * z)


def time_of_cross_entropy(z: float) -> float:
    """∫ dz / (1 − o) from z to 0; the integrand is 1 + e^z."""
    return 1 - z - math.exp(z)


def largest(differences: np.ndarray) -> float:
    """The largest absolute value."""
    return float(np.abs(differences).max())


def oracles(found: Measured, say: Say) -> tuple[Oracle, ...]:
    """What the gradients are checked against: autograd, complex steps, and the differential equation."""
    return (
        Oracle(
            "autograd",
            max(one.autograd for one in found.gradients),
            1e-6,
            say("autograd, float64: largest difference", "autograd, float64: mayor diferencia"),
        ),
        Oracle(
            "complex_step",
            max(one.complex_step for one in found.gradients),
            1e-6,
            say("numpy, Im J(w + ih)/h: largest difference", "numpy, Im J(w + ih)/h: mayor diferencia"),
        ),
        Oracle(
            "half_mse",
            max(one.half_mse for one in found.gradients),
            1e-6,
            say(
                "this repository's half MSE (a mean over n): largest difference",
                "el ½ MSE de este repositorio (media de n): mayor diferencia",
            ),
        ),
        Oracle(
            "largest_by_z",
            abs(found.largest - LARGEST),
            1e-6,
            say("4/27, the largest |∂J/∂z| there can be: difference", "4/27, el mayor |∂J/∂z| posible: diferencia"),
        ),
        Oracle(
            "steps_to_right",
            max(found.half_square.excess, found.cross_entropy.excess),
            1.0,
            say(
                "the differential equation's time until a wrong unit is right, in units of Euler's largest error",
                "tiempo de la ecuación diferencial hasta acertar, en unidades del mayor error de Euler",
            ),
        ),
    )


def seen(say: Say, found: Measured) -> str:
    """The paragraph: what was seen, beside what the lecture says."""
    off = max(one.autograd for one in found.gradients)
    first, *_, last = sorted([found.gradients[0], *found.gradients], key=lambda one: one.scale)
    z, slow, quick = found.half_square.starts[0], found.half_square.steps[0], found.cross_entropy.steps[0]
    wrong, steepest = (f"{value:.4g}".replace("-", "−") for value in (z, round(found.steepest, 2)))
    return say(
        f"The formula is right: autograd differs by {off:.1e} at most. But the situation does change. The factor "
        "o(1 − o) is ¼ at most and dies out on both sides, whether the answer is right or wrong: on the digits its "
        f"mean is {first.factor:.2g} with weights of {first.scale:g}, and {last.factor:.2g} with weights of "
        f"{last.scale:g}. |∂J/∂z| has its largest value, {found.largest:.4f} = 4/27, at z = {steepest} = −ln 2 for the "
        "target 1; to the left of it J bends downwards, so with a sigmoid it is not convex. "
        f"A unit that is wrong and sure of it (z = {wrong}, target 1) needs {slow:,} steps to become right, about "
        f"e^|z|/(2η); with cross-entropy, whose gradient is o − t without the factor, {quick:,}.",
        f"La fórmula es correcta: autograd difiere a lo más en {off:.1e}. Pero la situación sí cambia. El factor "
        "o(1 − o) vale a lo más ¼ y se extingue hacia ambos lados, acierte o no la respuesta: en los dígitos su media "
        f"es {first.factor:.2g} con pesos de {first.scale:g} y {last.factor:.2g} con pesos de {last.scale:g}. "
        f"|∂J/∂z| alcanza su máximo, {found.largest:.4f} = 4/27, en z = {steepest} = −ln 2 para el objetivo 1; a su "
        "izquierda J se curva hacia abajo, así que con una sigmoide no es convexa. "
        f"Una unidad que se equivoca con seguridad (z = {wrong}, objetivo 1) necesita {slow:,} pasos para acertar, "
        f"cerca de e^|z|/(2η); con entropía cruzada, cuyo gradiente es o − t sin ese factor, {quick:,}.",
    )


def draw_where(say: Say) -> Figure:
    """o and o (1 − o) against z, and the size of the gradient, beside cross-entropy's."""
    from trainlab.figures.studies.sigmoid_gradient import where_it_vanishes

    square, entropy = (np.abs(by_autograd(loss, WIDE)) for loss in (half_square, cross_entropy))
    return where_it_vanishes(WIDE, sigmoid(WIDE), square, entropy, (STEEPEST, LARGEST), say)


def draw_recovery(found: Measured, say: Say) -> Figure:
    """A wrong unit's way to the right answer, and the steps that it takes from each start."""
    from trainlab.figures.studies.sigmoid_gradient import wrong_and_sure

    labels = ("½ (t − o)²", say("cross-entropy", "entropía cruzada"))
    both = zip(labels, (found.half_square, found.cross_entropy), strict=True)
    return wrong_and_sure([(name, r.path, r.starts, r.steps, r.time / r.step) for name, r in both], say)
