"""The examples a network got wrong with the greatest confidence."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from trainlab.figures.picture import show_picture
from trainlab.figures.style import BLUE, VERMILLION, fitting_size, new_figure, shorten, styled

ROWS, COLUMNS = 3, 4
NAME_LENGTH = 18  # characters
WIDTH = 3.1  # inches from one image to the next
LETTERS = 16  # points


@styled()
def worst_mistakes(
    images: Tensor,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    title: str = "",
) -> Figure:
    """Up to twelve mistakes, the most confident first.

    images: uint8 (n, C, H, W), C = 1 or 3 (of any other number the mean is shown); true, predicted: n class
    names; confidence: n probabilities in [0, 1] of the predicted class. n may be 0.
    """
    count = len(images)
    assert count == len(true) == len(predicted) == len(confidence), "images, classes and confidence differ in number"
    if count == 0:
        figure = new_figure(12, 3, title)
        figure.text(0.5, 0.45, "No mistakes", ha="center", va="center", fontsize=24)
        return figure

    worst = sorted(range(count), key=lambda index: -confidence[index])[: ROWS * COLUMNS]
    columns = min(COLUMNS, len(worst))
    rows = -(-len(worst) // columns)
    figure = new_figure(max(6.0, WIDTH * columns), 3.5 * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, index in zip(grid, worst, strict=False):
        show_picture(axes, images[index].cpu())
        guess = f"{shorten(predicted[index], NAME_LENGTH)} ({100 * confidence[index]:.0f} %)"
        truth = f"truly {shorten(true[index], NAME_LENGTH)}"
        axes.set_title("\n", fontsize=LETTERS)  # keeps the place of the two lines
        for line, colour, points in ((guess, VERMILLION, 27), (truth, BLUE, 5)):
            axes.annotate(
                line,
                (0.5, 1.0),
                (0, points),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=colour,
                fontsize=fitting_size(line, LETTERS, WIDTH - 0.2),
                in_layout=False,  # a name wider than its image must not push the images apart
            )
    return figure
