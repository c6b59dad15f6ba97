"""All that is measured around one network: the plane, its path, rays in random directions, and the curvature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainlab.errors import InputError
from trainlab.runtime.room import free_memory
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.landscape.curvature import Spectrum, lanczos, loss_at
from trainlab.studies.landscape.directions import (
    PrincipalPlane,
    Weights,
    filter_normalised,
    flat,
    gaussian,
    length,
    like,
    of_length,
    orthogonal,
    principal_plane,
    random_pair,
    weights_of,
)
from trainlab.studies.landscape.network import Subject, trained_of
from trainlab.studies.landscape.surface import Surface, losses, surface

KINDS = ("random", "pca", "hessian")
BETWEEN = "between:"

RAYS, PLACES = 10, 23  # random directions from the network, and places along each
HALF = 0.5  # of the length of its weights: where networks are compared
MARGIN = 0.25  # around a path, as a share of its extent
NARROWEST = 0.25  # an axis, as a share of the other
FEW = 3  # other checkpoints, of which a path is drawn without being asked for: two lie in a plane whatever they are
KINK_SCALE, BENDS = 0.05, 5  # lengths of the weights, about one step of the drawn plane; and directions
TOP = 5  # eigenvalues shown
LANCZOS, LEAST_LANCZOS = 60, 12  # products
SHARE_OF_MEMORY = 0.15  # for the vectors of Lanczos


@dataclass(frozen=True)
class Rays:
    """The loss along straight lines through the network.

    places: (PLACES,), as shares of ‖W‖. random: (RAYS, PLACES), along filter-normalised directions. sharpest:
    (PLACES,), along the eigenvector of the largest eigenvalue, made as long; None where it is not known.
    """

    places: np.ndarray
    random: np.ndarray
    sharpest: np.ndarray | None

    def rise(self, middle: float) -> tuple[float, float]:
        """By how much the loss is higher at HALF, either way: the mean and the standard deviation over directions."""
        at = [np.argmin(np.abs(self.places - sign * HALF)) for sign in (-1, 1)]
        each = self.random[:, at].mean(axis=1) - middle
        return float(each.mean()), float(each.std(ddof=1))


@dataclass(frozen=True)
class Path:
    """The training path beside its principal plane.

    surface: the loss on the plane. epochs, loss: (T,), of the kept weights. shown: (T,), the loss of the points of the
    plane that stand for them, which is what a drawing of them on the contours shows.
    """

    principal: PrincipalPlane
    surface: Surface
    epochs: np.ndarray
    loss: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class View:
    """All that is known of the loss around one network.

    middle: the loss at the network. surface: on the plane that was asked for. other: where on it the other network is,
    of `between`. spectrum: of the Hessian, None where the network is too large. smallest_at_start: its smallest
    eigenvalue before training. in_plane: the share of the squared length of the eigenvector of λ_max, and of the way
    from the first kept weights, that lies in the plane. bend: the curvature along a random direction as long as the
    weights: from the loss KINK_SCALE away, and dᵀHd of the Hessian, which does not see the kinks of ReLUs; None where
    that is not known.
    """

    subject: Subject
    middle: float
    surface: Surface
    other: tuple[float, float] | None
    rays: Rays
    spectrum: Spectrum | None
    smallest_at_start: float | None
    path: Path | None
    in_plane: tuple[float | None, float | None]
    bend: tuple[float, float] | None


class Stages:
    """The progress of parts that follow each other, told to one `on_progress`. total: of all parts."""

    def __init__(self, on_progress: Progress = no_progress, total: int = 1) -> None:
        self.on_progress, self.total, self.begun = on_progress, total, 0

    def next(self, size: int) -> Progress:
        """The `Progress` of the next part, which has this size."""
        before, self.begun = self.begun, self.begun + size
        return lambda done, of: self.on_progress(min(before + size * done // max(of, 1), self.total), self.total)


def cost_of_view(points: int) -> int:
    """How many settings of the weights a view takes, for `Stages`: two planes, and the rays."""
    return 2 * points**2 + (RAYS + 1) * PLACES


def view_of(subject: Subject, kind: str, points: int, span: float, seed: int, stages: Stages | None = None) -> View:
    """Look at the loss around one network. Raises InputError.

    kind: of KINDS, or BETWEEN and a checkpoint. points: along each side. span: the plane reaches from −span to span
    lengths of the weights, or `span` times the extent of the path. seed: of the random directions.
    """
    stages = stages or Stages()
    net, started = subject.net, subject.kept[0].epoch == 0 and len(subject.kept) > 1
    spectrum = spectrum_of(subject, flat(weights_of(net)))
    way = way_of(subject, kind)
    plane, axes, other = plane_of(subject, kind, spectrum, way, points, span, seed)
    path = None if way is None else path_of(subject, way, points, span, stages.next(points**2))
    if kind == "pca" and path is not None:
        drawn = path.surface
    else:
        drawn = surface(net, subject.loss, subject.examples, plane, axes, stages.next(points**2))
    first = spectrum_of(subject, subject.kept[0].weights) if started else None
    return View(
        subject=subject,
        middle=float(losses(net, subject.loss, subject.examples, [], np.zeros((1, 0)))[0]),
        surface=drawn,
        other=other,
        rays=rays_of(subject, spectrum, span, seed, stages.next((RAYS + 1) * PLACES)),
        spectrum=spectrum,
        smallest_at_start=None if first is None else float(first.values[0]),
        path=path,
        in_plane=(
            None if spectrum is None else share_in(plane, spectrum.vectors[-1]),
            share_in(plane, subject.kept[0].weights - flat(weights_of(net))) if started else None,
        ),
        bend=None if spectrum is None else bend_of(subject, seed),
    )


def spectrum_of(subject: Subject, weights: torch.Tensor) -> Spectrum | None:
    """The ends of the Hessian at `weights` (P,), of the data term alone; None where there is no room for it."""
    room = int(SHARE_OF_MEMORY * min(free_memory(), 1e15) / (8 * len(weights)))
    if room < LEAST_LANCZOS:
        return None
    inputs, labels = subject.inputs[: subject.curved], subject.labels[: subject.curved]
    function = loss_at(subject.net, subject.loss, inputs, labels)
    start = torch.randn(len(weights), generator=torch.Generator().manual_seed(0)).double()
    product = function.hessian_at(weights.double())
    return lanczos(product, start, top=TOP, bottom=1, most=min(LANCZOS, room), tolerance=1e-6)


def bend_of(subject: Subject, seed: int) -> tuple[float, float]:
    """The two curvatures of `View.bend`: means over BENDS random directions, of the examples of the Hessian."""
    function = loss_at(subject.net, subject.loss, subject.inputs[: subject.curved], subject.labels[: subject.curved])
    base = weights_of(function.net)
    product = function.hessian_at(function.theta)
    seen, known = [], []
    for draw in range(BENDS):
        direction = flat(filter_normalised(gaussian(base, 2_000_000 + BENDS * seed + draw), base))
        known.append(float(direction @ product(direction)))
        with torch.no_grad():
            values = [float(function(function.theta + h * direction)) for h in (-KINK_SCALE, 0.0, KINK_SCALE)]
        seen.append((values[0] - 2 * values[1] + values[2]) / KINK_SCALE**2)
    return float(np.mean(seen)), float(np.mean(known))


def way_of(subject: Subject, kind: str) -> PrincipalPlane | None:
    """The principal plane of the training path; None where too few weights were kept. Raises InputError where it was
    asked for and cannot be had.
    """
    own = flat(weights_of(subject.net))
    others = [kept for kept in subject.kept if not torch.equal(kept.weights, own)]
    if len(others) >= (2 if kind == "pca" else FEW):
        return principal_plane(torch.stack([kept.weights for kept in subject.kept]), own)
    if kind == "pca":
        raise InputError(
            f"directions=pca needs a path, and run={subject.name} has {len(others) + 1} different checkpoints, of "
            "three at least; run=relu keeps its weights after every epoch."
        )
    return None


def path_of(
    subject: Subject, way: PrincipalPlane, points: int, span: float, on_progress: Progress = no_progress
) -> Path:
    """The training path on its principal plane, and the loss on that plane. way: the plane. points: along each side.
    span: in extents of the path.
    """
    net, loss, examples = subject.net, subject.loss, subject.examples
    base = weights_of(net)
    plane = [like(row, base) for row in way.directions]
    axes = around(way.places, points, span)
    drawn = surface(net, loss, examples, plane, (axes[0], axes[1]), on_progress)
    own = flat(base)
    real = [losses(net, loss, examples, [like(k.weights - own, base)], np.ones((1, 1)))[0] for k in subject.kept]
    shown = losses(net, loss, examples, plane, way.places)
    return Path(way, drawn, np.array([k.epoch for k in subject.kept]), np.array(real), shown)


def around(places: np.ndarray, points: int, span: float) -> list[np.ndarray]:
    """The axes, float64 (points,) each, of a grid with the places (T, 2) and some room around them."""
    axes = []
    least = NARROWEST * np.ptp(places, axis=0).max()
    for column in places.T:
        low, high = column.min(), column.max()
        middle, half = (low + high) / 2, max(high - low, least) / 2 * (1 + 2 * MARGIN) * span
        axes.append(np.linspace(middle - half, middle + half, points))
    return axes


def plane_of(
    subject: Subject,
    kind: str,
    spectrum: Spectrum | None,
    way: PrincipalPlane | None,
    points: int,
    span: float,
    seed: int,
) -> tuple[list[Weights], tuple[np.ndarray, np.ndarray], tuple[float, float] | None]:
    """Two directions, the places along them, and where the other network of `between` is. Raises InputError."""
    base = weights_of(subject.net)
    axis = np.linspace(-span, span, points)
    if kind == "pca":
        assert way is not None
        x, y = around(way.places, points, span)
        return [like(row, base) for row in way.directions], (x, y), None
    if kind == "hessian":
        if spectrum is None:
            raise InputError(
                f"directions=hessian needs {LEAST_LANCZOS} vectors as long as run={subject.name} has weights, and "
                "there is no room for them in memory; use directions=random."
            )
        rows = (spectrum.vectors[-1], spectrum.vectors[-2])
        return [of_length(like(row, base), length(base)) for row in rows], (axis, axis), None
    if kind.startswith(BETWEEN):
        towards = to_other(subject, kind.removeprefix(BETWEEN))
        across = orthogonal(random_pair(base, seed)[0], towards)
        return [towards, across], (np.linspace(-span / 2, 1 + span / 2, points), axis), (1.0, 0.0)
    return list(random_pair(base, seed)), (axis, axis), None


def to_other(subject: Subject, name: str) -> Weights:
    """The difference of the weights of another network of the same shapes. Raises InputError."""
    if not name:
        raise InputError(f"directions={BETWEEN} needs a checkpoint or a run directory: directions={BETWEEN}runs/mine.")
    other, base = weights_of(trained_of(name).net), weights_of(subject.net)
    if {n: w.shape for n, w in other.items()} != {n: w.shape for n, w in base.items()}:
        raise InputError(f"directions={BETWEEN}{name} is a network of other layers than run={subject.name}.")
    difference = {name: other[name].float() - weight for name, weight in base.items()}
    if not torch.isfinite(flat(difference)).all():
        raise InputError(f"directions={BETWEEN}{name} has weights that are not finite numbers.")
    if not flat(difference).any():
        raise InputError(
            f"directions={BETWEEN}{name} has the weights of run={subject.name}: nothing lies between them."
        )
    return difference


def rays_of(
    subject: Subject, spectrum: Spectrum | None, span: float, seed: int, on_progress: Progress = no_progress
) -> Rays:
    """The loss along random lines and along the sharpest direction. The lines have random draws of their own, so that
    they do not depend on the plane's.
    """
    base = weights_of(subject.net)
    steps = np.linspace(-1, 1, PLACES - 2)
    places = np.sort(np.r_[-HALF, HALF, max(span, HALF) * steps * np.abs(steps)])  # closer where it is sharp
    total = RAYS + (spectrum is not None)

    def along(direction: Weights, done: int) -> np.ndarray:
        values = losses(subject.net, subject.loss, subject.examples, [direction], places[:, None])
        on_progress(done + 1, total)
        return values

    draws = [1_000_000 + RAYS * seed + k for k in range(RAYS)]
    random = np.array([along(filter_normalised(gaussian(base, draw), base), k) for k, draw in enumerate(draws)])
    sharpest = None
    if spectrum is not None:
        sharpest = along(of_length(like(spectrum.vectors[-1], base), length(base)), RAYS)
    return Rays(places, random, sharpest)


def share_in(plane: Sequence[Weights], row: torch.Tensor) -> float:
    """The share of the squared length of `row` (P,) that its projection on the plane keeps."""
    basis = torch.linalg.qr(torch.stack([flat(direction).double() for direction in plane]).T).Q
    row = row.double()
    return float((row @ basis).square().sum() / row.square().sum())
