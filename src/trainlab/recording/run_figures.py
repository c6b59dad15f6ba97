"""The figures of one training run, drawn from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from trainlab.classifier import Predictions
from trainlab.data.image_set import DataSplits, ImageSet
from trainlab.figures.confusion import confusion_matrix
from trainlab.figures.curves import learning_curves
from trainlab.figures.filters import first_layer
from trainlab.figures.mistakes import worst_mistakes
from trainlab.figures.points import decision_regions
from trainlab.figures.style import save
from trainlab.objective import Loss
from trainlab.runtime.assembly import Assembly

WORST = 12
GRID = 200  # points along each side of a figure of the plane


def confusion_counts(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """How often each class was taken for each: labels and predicted, int64 (N,) → int64 (classes, classes), a row for
    each true class.
    """
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def draw_figures(
    folder: Path,
    parts: Assembly,
    net: nn.Module,
    *,
    rows: Sequence[Mapping[str, float]],
    predictions: Predictions,
) -> dict[str, Path]:
    """Draw a run's figures into folder/*.png; returns their paths by name. net: as it was trained, on the CPU.
    predictions: of the test set, in its order.
    """
    title, sets = parts.title, parts.data.sets
    test, predicted, confidence = sets.test, predictions.predicted, predictions.confidence
    figures: dict[str, Figure | None] = {
        "learning_curves": learning_curves(rows, title),
        "confusion_matrix": confusion_matrix(
            confusion_counts(test.labels, predicted, len(test.classes)), test.classes, title
        ),
        "first_layer": first_layer_figure(net, parts.data.input_shape, test.classes, f"{title}: first layer"),
    }
    if test.is_points:
        if test.images.shape[1] == 2 and len(test.classes) == 2:
            figures["decision_regions"] = plane_figure(net, parts.loss, sets, title)
    else:
        figures["worst_mistakes"] = mistakes_figure(test, predicted, confidence, f"{title}: worst mistakes")
    folder.mkdir(exist_ok=True)
    paths = {}
    for name, figure in figures.items():
        if figure is not None:
            paths[name] = folder / f"{name}.png"
            save(figure, paths[name])
    return paths


def first_layer_figure(
    net: nn.Module, input_shape: tuple[int, ...], classes: Sequence[str], title: str
) -> Figure | None:
    """The kernels, or the weights as images, of the layer that sees the input."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)), None)
    if first is None:
        return None
    shape = (input_shape[0], input_shape[1], input_shape[2]) if len(input_shape) == 3 else None
    only_layer = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 1
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    towers = convolutions[1].groups if len(convolutions) > 1 else 1  # the second layer tells whose the first's maps are
    labels = classes if only_layer else None
    return first_layer(first.weight.detach().float().cpu(), shape, title, labels, towers)


def mistakes_figure(test: ImageSet, predicted: Tensor, confidence: Tensor, title: str) -> Figure:
    """The mistakes of which the network was surest."""
    wrong = (predicted != test.labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True)[:WORST]]
    return worst_mistakes(
        test.images[worst],
        [test.classes[int(label)] for label in test.labels[worst]],
        [test.classes[int(label)] for label in predicted[worst]],
        confidence[worst].tolist(),
        title,
    )


def grid_extent(sets: DataSplits) -> tuple[float, float, float, float]:
    """x and y limits that hold all points, with a margin of one half."""
    points = torch.cat([sets.train.all_images, sets.test.all_images])
    (left, bottom), (right, top) = (points.amin(0) - 0.5).tolist(), (points.amax(0) + 0.5).tolist()
    return left, right, bottom, top


def plane_points(extent: tuple[float, float, float, float]) -> Tensor:
    """The points of a grid, float32 (GRID², 2): x and y, row by row of ascending y."""
    left, right, bottom, top = extent
    x, y = torch.linspace(left, right, GRID), torch.linspace(bottom, top, GRID)
    return torch.cartesian_prod(y, x).flip(1)


def plane_figure(net: nn.Module, loss: Loss, sets: DataSplits, title: str) -> Figure:
    """The decision regions of a network of two inputs and two classes."""
    extent = grid_extent(sets)
    device = next(net.parameters()).device
    with torch.no_grad():
        second = loss.predict(net(plane_points(extent).to(device))).cpu()[:, 1].view(GRID, GRID).clamp(0, 1)
    train, test = sets.train, sets.test
    return decision_regions(second, extent, train.all_images, train.labels, test.all_images, test.labels, title)
