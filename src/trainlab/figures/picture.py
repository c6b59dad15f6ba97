"""A picture as a picture."""

from __future__ import annotations

from matplotlib.axes import Axes
from torch import Tensor

SMALL = 64  # pixels: images up to this size show their pixels as squares


def show_picture(axes: Axes, image: Tensor) -> None:
    """Draw an image in these axes. image: uint8 (C, H, W); of other than three channels the mean, in grey."""
    smooth = "nearest" if max(image.shape[1:]) <= SMALL else "antialiased"
    if len(image) == 3:
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation=smooth)
    else:
        axes.imshow(image.float().mean(0).numpy(), cmap="gray", vmin=0, vmax=255, interpolation=smooth)
