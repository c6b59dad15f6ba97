"""What the drawing and the eigenvalues are checked against: closed forms, dense Hessians, and the run's own numbers."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian

from trainlab.data.sources import points
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.models.summary import summarize
from trainlab.objective import CrossEntropy, half_mean_square
from trainlab.recording.section import Say
from trainlab.studies.digits import digits_as_seen
from trainlab.studies.finding import Oracle
from trainlab.studies.landscape.curvature import lanczos, loss_at, second_difference
from trainlab.studies.landscape.directions import (
    Weights,
    filter_normalised,
    flat,
    gaussian,
    length,
    like,
    of_length,
    random_pair,
    weights_of,
)
from trainlab.studies.landscape.network import SIDE, Subject, small_net
from trainlab.studies.landscape.surface import surface
from trainlab.studies.landscape.view import View

GRID = np.linspace(-1, 1, 11)
RESCALED = 10.0  # c of the layer's weights; the next layer's are divided by it
KINKS, DRAWS = 2000, 4  # neurons times examples of the second difference, and directions
VISIBLE = 0.01  # by how much, as a share, the plain surface has to change for that


def oracles_of(views: list[View], say: Say) -> tuple[Oracle, ...]:
    """The oracles of these networks, of which the worst counts, then those of networks with a known answer."""
    path = [path_gap(view) for view in views if view.path is not None]
    steps = [curvature_gap(view.subject) for view in views if view.spectrum is not None]
    found = [centre(views, say)]
    if steps:
        found.append(
            Oracle("second_difference", max(steps), 1e-3, say(
                "second difference of J along a random direction d = dᵀHd: relative difference",
                "segunda diferencia de J según una dirección aleatoria d = dᵀHd: diferencia relativa",
            ))
        )  # fmt: skip
    if path:
        found.append(
            Oracle("path", max(path), 1e-5, say(
                "distance of each checkpoint to the plane by numpy's least squares: relative difference",
                "distancia de cada punto del camino al plano según mínimos cuadrados de numpy: diferencia relativa",
            ))
        )  # fmt: skip
    return (*found, *quadratic_oracles(say), *rescaling_oracles(say), lanczos_oracle(say))


def centre(views: list[View], say: Say) -> Oracle:
    """The oracle of the loss in the middle: as the run recorded it, else as the network itself gives it."""
    worst = Oracle("centre", 0.0, 1e-5, "")
    for view in views:
        subject, recorded = view.subject, view.subject.recorded
        if recorded is not None:
            gap, within = abs(recorded.again / recorded.loss - 1), recorded.within
            text = say(
                f"{recorded.name} = {recorded.loss:.6g} in results.json, by the same evaluation: relative difference",
                f"{recorded.name} = {recorded.loss:.6g} en results.json, con la misma evaluación: diferencia relativa",
            )
        else:
            with torch.inference_mode():
                parts = zip(subject.inputs.split(256), subject.labels.split(256), strict=True)
                own = sum(float(subject.loss(subject.net(x), y)) * len(y) for x, y in parts) / len(subject.labels)
            gap, within = abs(view.middle / own - 1), 1e-5
            text = say(
                "the loss in the middle is the network's own: relative difference",
                "la pérdida en el centro es la de la propia red: diferencia relativa",
            )
        if not gap / within < worst.difference / worst.bound or not worst.against:
            worst = Oracle("centre", gap, within, text)
    return worst


def curvature_gap(subject: Subject) -> float:
    """The relative difference between the curvature along a filter-normalised direction by function values alone and by
    the product with the Hessian; of several directions, for the one whose second difference is the surest.

    On the worst of the examples, and few: the more neurons times examples, the nearer is the next kink of a ReLU, and
    between kinks a step has to fit in.
    """
    inputs, labels = subject.inputs[: subject.curved], subject.labels[: subject.curved]
    with torch.inference_mode():
        outputs = subject.net(inputs)
        each = torch.stack([subject.loss(o, y) for o, y in zip(outputs.split(1), labels.split(1), strict=True)])
    neurons = sum(layer.neurons for layer in summarize(subject.net, tuple(inputs.shape[1:])))
    worst = each.argsort(descending=True)[: max(1, KINKS // neurons)]
    function = loss_at(subject.net, subject.loss, inputs[worst], labels[worst])
    base = weights_of(function.net)
    product = function.hessian_at(function.theta)
    found = []
    for draw in range(DRAWS):
        direction = flat(filter_normalised(gaussian(base, 12345 + draw), base))
        measured, spread = second_difference(function, function.theta, direction)
        expected = float(direction @ product(direction))
        found.append((spread / max(abs(measured), 1e-12), abs(measured - expected) / max(abs(expected), 1e-12)))
    return min(found)[1]


def path_gap(view: View) -> float:
    """The largest difference of the path's distances to the plane from those by least squares on its directions,
    relative to the longest distance from the end.
    """
    assert view.path is not None
    principal, own = view.path.principal, flat(weights_of(view.subject.net)).double()
    offsets = torch.stack([kept.weights.double() - own for kept in view.subject.kept]).numpy()
    places, *_ = np.linalg.lstsq(principal.directions.numpy().T, offsets.T, rcond=None)
    away = np.linalg.norm(offsets - places.T @ principal.directions.numpy(), axis=1)
    return float(np.abs(away - principal.away).max() / principal.from_end.max())


@dataclass(frozen=True)
class Quadratic:
    """Relative differences from the closed form of the linear perceptron with J = 1/(2n) Σ (f − y)²."""

    surface: float
    eigenvalues: float
    axes: float


def quadratic() -> Quadratic:
    """A perceptron on the digits that says whether one is a zero, away from its minimum.

    J is the paraboloid with the Hessian XᵀX/n, x beside 1: so the surface on any plane is known, and the ellipses on
    the plane of the two directions that Lanczos finds have XᵀX/n's first two eigenvectors for axes.
    """
    digits = digits_as_seen()
    inputs, labels = digits.inputs, digits.labels
    targets = (labels == 0).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Perceptron((1, SIDE, SIDE), 1, init="kaiming").eval()
    x = np.c_[inputs.flatten(1).double().numpy(), np.ones(len(inputs))]
    matrix, y = x.T @ x / len(x), targets.double().numpy()
    values, vectors = np.linalg.eigh(matrix)

    base = weights_of(net)
    function = loss_at(net, half_mean_square, inputs, targets.double())
    start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(1)).double()
    found = lanczos(function.hessian_at(function.theta), start, top=2, most=len(matrix))
    sharpest = [of_length(like(row, base), length(base)) for row in found.vectors.flip(0)[:2]]

    gaps = []
    for plane in (sharpest, list(random_pair(base, 0))):
        drawn = surface(net, half_mean_square, (inputs, targets), plane, (GRID, GRID)).loss
        rows = np.stack([flat(direction).double().numpy() for direction in plane])
        a, b = np.meshgrid(GRID, GRID)
        settings = flat(base).double().numpy() + a[..., None] * rows[0] + b[..., None] * rows[1]
        exact = np.square(settings @ x.T - y).mean(axis=-1) / 2
        gaps.append(np.abs(drawn - exact).max() / exact.max())
        if plane is sharpest:
            fitted, axes = ellipse(drawn, rows)
    turned = [np.linalg.norm(own - (own @ true) * true) for own, true in zip(axes, vectors.T[::-1], strict=False)]
    both = np.r_[found.top(2) / values[::-1][:2], fitted / values[::-1][:2]]
    return Quadratic(float(max(gaps)), float(np.abs(both - 1).max()), float(max(turned)))


def ellipse(drawn: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curvatures of a surface on GRID × GRID points, the larger first, and the directions (2, P) of its axes.

    rows: (2, P), the plane's directions, at right angles. Nothing but the surface is looked at.
    """
    a, b = (part.ravel() for part in np.meshgrid(GRID, GRID))
    terms = np.stack([np.ones_like(a), a, b, a**2 / 2, a * b, b**2 / 2], axis=1)
    _, _, _, aa, ab, bb = np.linalg.lstsq(terms, drawn.ravel(), rcond=None)[0]
    sizes = np.linalg.norm(rows, axis=1)
    curvatures, within = np.linalg.eigh(np.array([[aa, ab], [ab, bb]]) / np.outer(sizes, sizes))
    axes = within.T[::-1] @ (rows / sizes[:, None])
    return curvatures[::-1], axes


def quadratic_oracles(say: Say) -> tuple[Oracle, ...]:
    """The surface of a linear perceptron on ½ MSE, checked against its exact paraboloid."""
    gaps = quadratic()
    return (
        Oracle("quadratic_surface", gaps.surface, 1e-4, say(
            "linear perceptron with ½ MSE: the exact paraboloid, largest relative difference",
            "perceptrón lineal con ½ ECM: el paraboloide exacto, mayor diferencia relativa",
        )),
        Oracle("quadratic_eigenvalues", gaps.eigenvalues, 1e-4, say(
            "its two largest curvatures, by Lanczos and from the drawn ellipses = XᵀX/n: relative difference",
            "sus dos mayores curvaturas, según Lanczos y las elipses dibujadas = XᵀX/n: diferencia relativa",
        )),
        Oracle("quadratic_axes", gaps.axes, 1e-4, say(
            "axes of the drawn ellipses = eigenvectors of XᵀX/n: sine of the angle",
            "ejes de las elipses dibujadas = vectores propios de XᵀX/n: seno del ángulo",
        )),
    )  # fmt: skip


def rescaled(net: MLP, factor: float) -> MLP:
    """The same function, if the activation is ReLU: the first layer times `factor`, and the next one's weights divided
    by it.
    """
    other = copy.deepcopy(net)
    first, second = [layer for layer in other.modules() if isinstance(layer, nn.Linear)][:2]
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.mul_(factor)
        second.weight.div_(factor)
    return other


def plain(direction: Weights, weights: Weights) -> dict[str, Tensor]:
    """The direction scaled as a whole to the length of the weights."""
    return of_length(direction, length(weights))


def rescaling() -> tuple[float, float]:
    """By how much the surface changes, as a share of its range, when a ReLU network's layers are rescaled: with
    filter-normalised directions, and with plain ones, made as long as the weights as a whole."""
    digits = digits_as_seen()
    inputs, labels = digits.inputs, digits.labels
    examples = inputs[:200], labels[:200]
    net = small_net("relu", "kaiming", 0)
    changes = []
    for normalise in (filter_normalised, plain):
        drawn = []
        for one in (net, rescaled(net, RESCALED)):
            base = weights_of(one)
            plane = [normalise(gaussian(base, k), base) for k in range(2)]
            drawn.append(surface(one, CrossEntropy(), examples, plane, (GRID, GRID)).loss)
        changes.append(float(np.abs(drawn[0] - drawn[1]).max() / np.ptp(drawn[0])))
    return changes[0], changes[1]


def rescaling_oracles(say: Say) -> tuple[Oracle, ...]:
    """That rescaling ReLU layers leaves the filter-normalised surface as it is, and changes the plain one."""
    normalised, plain = rescaling()
    factor = f"{RESCALED:g}"
    return (
        Oracle("rescaling", normalised, 1e-4, say(
            f"a ReLU layer × {factor} and the next ÷ {factor}: change of the filter-normalised surface",
            f"una capa ReLU × {factor} y la siguiente ÷ {factor}: cambio de la superficie normalizada por filtro",
        )),
        Oracle("rescaling_plain", VISIBLE / plain, 1.0, say(
            f"the same changes the plain surface, by {plain:.3g}: {VISIBLE:g} as a share of that",
            f"lo mismo sí cambia la superficie sin normalizar, en {plain:.3g}: {VISIBLE:g} como parte de eso",
        )),
    )  # fmt: skip


def lanczos_gap() -> float:
    """The largest difference of four eigenvalues by Lanczos from those of the dense Hessian, relative to the largest
    |λ|: of a tanh MLP 2-12-11-2 of 203 weights on moons.
    """
    moons = points.moons(n_samples=100, noise=0.3, test_fraction=0.2, val_fraction=0.0, split_seed=0).train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = MLP((2,), 2, hidden=(12, 11), activation="tanh", init="xavier").double()
    loss, inputs, labels = CrossEntropy(), moons.all_images.double(), moons.labels
    function = loss_at(net, loss, inputs, labels)
    start = torch.randn(len(function.theta), generator=torch.Generator().manual_seed(1)).double()
    found = lanczos(function.hessian_at(function.theta), start, top=3, bottom=1, most=203, tolerance=1e-10)
    base = weights_of(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about a part of itself
        dense = hessian(lambda row: loss(functional_call(net, like(row, base), (inputs,)), labels))(flat(base))
    true = np.linalg.eigvalsh(dense.detach().numpy())
    return float(np.abs(found.values[[-1, -2, -3, 0]] - true[[-1, -2, -3, 0]]).max() / np.abs(true).max())


def lanczos_oracle(say: Say) -> Oracle:
    """Lanczos's eigenvalues checked against those of a dense Hessian."""
    return Oracle("lanczos", lanczos_gap(), 1e-6, say(
        "eigenvalues by Lanczos = the dense Hessian of a 203-weight MLP: relative difference",
        "valores propios según Lanczos = hessiana densa de un MLP de 203 pesos: diferencia relativa",
    ))  # fmt: skip
