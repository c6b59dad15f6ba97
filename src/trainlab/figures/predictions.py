"""What a network says of pictures, as in Fig. 4 of Krizhevsky et al. 2012."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from trainlab.figures.picture import show_picture
from trainlab.figures.style import BLUE, GREY, INK, fitting_size, new_figure, shorten, styled

COLUMNS = 4
WIDTH = 3.4  # inches of one picture
NAME_LENGTH = 34  # characters
LETTERS = 14  # points


@styled()
def top_classes(
    images: Tensor, names: Sequence[str], classes: Sequence[Sequence[str]], probabilities: Tensor, title: str = ""
) -> Figure:
    """Each picture with its most probable classes below it, a bar for each (Fig. 4, left).

    images: uint8 (N, C, H, W); names: of the pictures; classes: N lists of k names; probabilities: float (N, k).
    """
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(WIDTH * columns + 0.4, (WIDTH + 2.3) * rows, title)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[WIDTH, 2.0] * rows)
    for axes in grid.ravel():
        axes.set_axis_off()
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        above, below = grid[2 * row][column], grid[2 * row + 1][column]
        show_picture(above, image)
        label = shorten(names[index], NAME_LENGTH)
        above.set_title(label, fontsize=fitting_size(label, LETTERS, WIDTH - 0.2), color=GREY)
        below.set_axis_on()
        _bars(below, classes[index], probabilities[index].tolist())
    return figure


def _bars(axes: Axes, classes: Sequence[str], probabilities: Sequence[float]) -> None:
    axes.barh(range(len(classes)), probabilities, color=BLUE, alpha=0.35, height=0.85)
    for place, (name, value) in enumerate(zip(classes, probabilities, strict=True)):
        text = f"{shorten(name, NAME_LENGTH)}  {100 * value:.1f} %"
        size = fitting_size(text, LETTERS, WIDTH - 0.3)
        axes.text(0.02, place, text, va="center", ha="left", fontsize=size, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])


@styled()
def neighbours(queries: Tensor, found: Sequence[Tensor], captions: Sequence[Sequence[str]], title: str = "") -> Figure:
    """A row for each picture: itself, then the training pictures nearest to it (Fig. 4, right).

    queries: uint8 (N, C, H, W); found: N of uint8 (k, C, H, W); captions: N lists of k.
    """
    most = max(len(images) for images in found)
    figure = new_figure(2.1 * (most + 1) + 0.4, 2.5 * len(queries) + 0.4, title)
    grid = figure.subplots(len(queries), most + 1, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, (query, images) in enumerate(zip(queries, found, strict=True)):
        show_picture(grid[row][0], query)
        grid[row][0].set_title("picture" if row == 0 else " ", fontsize=LETTERS, color=GREY)
        for column, (image, caption) in enumerate(zip(images, captions[row], strict=True)):
            show_picture(grid[row][column + 1], image)
            label = shorten(caption, NAME_LENGTH)
            grid[row][column + 1].set_title(label, fontsize=fitting_size(label, LETTERS, 2.0))
    return figure
