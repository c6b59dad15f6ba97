"""What the first layer looks for: its weights as images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from trainlab.figures.style import DIVERGING, GREY, new_figure, shorten, styled

MOST = 256  # kernels drawn
MOST_LABELS = 64  # more names than that could not be read


def _columns(count: int, width: float) -> int:
    """For `count` tiles, each `width` times as wide as high: few empty places, then nearest 16:9."""

    def cost(columns: int) -> tuple[int, float]:
        rows = -(-count // columns)
        return columns * rows - count, abs(math.log(columns * width / rows / (16 / 9)))

    square = math.sqrt(count / width)
    candidates = range(max(1, math.ceil(square)), max(1, math.ceil(3 * square)) + 1)
    return min(candidates, key=cost)


def _centred(kernel: np.ndarray) -> np.ndarray:
    """(C, h, w) -> (h, w, C) in [0, 1]: zero becomes 0.5, the largest weight in size 0 or 1."""
    largest = np.abs(kernel).max() or 1.0
    return np.moveaxis(0.5 + 0.5 * kernel / largest, 0, -1)


@styled()
def first_layer(
    weights: Tensor,
    image_shape: tuple[int, int, int] | None,
    title: str = "",
    labels: Sequence[str] | None = None,
    towers: int = 1,
) -> Figure | None:
    """Kernels of a convolution, or the weights of a dense layer put back into the shape of its input.

    weights: float (O, C, h, w) of a convolution, or (O, C*H*W) of a dense layer with
    image_shape = (C, H, W). A dense layer over points (image_shape None) has no picture: returns None.
    labels: O names, one per output, for a perceptron. towers: in so many parts, drawn one below the other (Krizhevsky
    et al. 2012, Fig. 3: the first GPU's kernels above, the second's below).

    Each kernel has its own scale, symmetric around zero. Three channels are shown as RGB with zero at
    mid-grey; one channel as grey (convolution) or blue–white–vermillion for negative–zero–positive (dense
    layer); of any other number of channels, the mean over channels. At most 256 kernels are drawn. A kernel
    with weights that are not finite is left out and its place is empty.
    """
    dense = weights.ndim == 2
    if dense and image_shape is None:
        return None
    kernels = _as_kernels(weights, image_shape)
    count, channels, height, width = kernels.shape
    if channels not in (1, 3):
        kernels = kernels.mean(axis=1, keepdims=True)
    drawn = min(count, MOST)
    each = drawn // towers if drawn % towers == 0 else drawn  # kernels of a tower
    assert labels is None or len(labels) == count, f"{len(labels or ())} labels for {count} outputs"

    heading = _heading(title, drawn, count, channels)
    named = labels is not None and drawn <= MOST_LABELS
    tile = width / height  # of width 1, and this much higher
    high = 1 / tile
    above = 0.25 if named else 0.0
    columns = _columns(each, each / drawn / (high + above))  # towers one below the other: wider by so much
    rows = -(-each // columns) * (drawn // each)
    apart = 0.6 * high * (drawn // each - 1)  # between the towers, all together
    # The gap is in widths of a kernel; among pixels as coarse as those of 3 × 3 kernels it must be wider.
    gap = min(0.3, max(0.1, 0.7 / width))
    step_x, step_y = 1 + gap, high + above + gap
    inches = min(12 / (columns * step_x), 7.5 / (rows * step_y + apart))
    figure = new_figure(max(6.0, inches * columns * step_x), inches * (rows * step_y + apart) + 0.8, heading)
    axes = figure.subplots()
    axes.set_axis_off()

    for index in range(drawn):
        kernel = kernels[index]
        tower, inside = divmod(index, each)
        left = inside % columns * step_x
        top = -(inside // columns + tower * -(-each // columns)) * step_y - 0.6 * high * tower
        if np.isfinite(kernel).all():
            _draw(axes, kernel, (left, left + 1, top - high, top), dense=dense)
        if named and labels is not None:
            _name(axes, labels[index], (left + 0.5, top + 0.03), inches, step_x)
    axes.set_xlim(-gap / 2, columns * step_x - gap / 2)
    axes.set_ylim(-(rows - 1) * step_y - apart - high - gap / 2, above + gap / 2)
    axes.set_aspect("equal")
    return figure


def _as_kernels(weights: Tensor, image_shape: tuple[int, int, int] | None) -> np.ndarray:
    """float32 (O, C, h, w), those of a dense layer in the shape of its input."""
    values = weights.detach().float().cpu()
    return (values if image_shape is None or values.ndim == 4 else values.reshape(len(values), *image_shape)).numpy()


def _heading(title: str, drawn: int, count: int, channels: int) -> str:
    """The title, and what of the layer cannot be seen."""
    notes = [f"{drawn} of {count:,} kernels"] if drawn < count else []
    if channels not in (1, 3):
        notes.append(f"mean of {channels} channels")
    note = ", ".join(notes)
    return f"{title} ({note})" if title and note else title or note.capitalize()


def _draw(axes: Axes, kernel: np.ndarray, extent: tuple[float, float, float, float], *, dense: bool) -> None:
    """A kernel (C, h, w) with C of 1 or 3 into the rectangle (left, right, bottom, top)."""
    left, right, bottom, top = extent
    if len(kernel) == 3:
        axes.imshow(_centred(kernel), extent=extent, interpolation="nearest")
        return
    largest = float(np.abs(kernel).max()) or 1.0
    colours = DIVERGING if dense else "gray"
    axes.imshow(kernel[0], extent=extent, interpolation="nearest", cmap=colours, vmin=-largest, vmax=largest)
    if dense:
        # Weights near zero are as white as the page; the frame says where the image ends.
        axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor=GREY, linewidth=1))


def _name(axes: Axes, label: str, place: tuple[float, float], inches: float, step: float) -> None:
    """Above a kernel of so many inches, in the room that one has: `step` kernels."""
    size = min(16.0, 0.2 * inches * 72)  # a letter is some 0.6 of the font size wide; 72 points to the inch
    shown = shorten(label, int(step * inches * 72 / (0.62 * size)))
    axes.text(*place, shown, ha="center", va="bottom", fontsize=size)
