"""What every figure must satisfy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from trainlab.figures.style import styled


def texts(figure: Figure) -> list[Text]:
    """The texts that can be seen."""
    figure.canvas.draw()
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip()
    ]


@pytest.fixture
def words() -> Callable[[Figure], list[str]]:
    return lambda figure: [text.get_text() for text in texts(figure)]


@pytest.fixture
def assert_legible() -> Callable[[Figure], None]:
    """No text is cut off by the edge of the figure, and no text covers a part of another."""

    def check(figure: Figure) -> None:
        with styled():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            # Ticks outside the limits of an axis are artists too, but are not drawn.
            hidden = set()
            for axes in figure.axes:
                for axis in (axes.xaxis, axes.yaxis):
                    drawn = {id(tick.label1) for tick in axis._update_ticks()} if axes.axison else set()
                    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                        hidden |= {id(tick.label1), id(tick.label2)} - drawn
                if not axes.axison:
                    hidden |= {id(axes.xaxis.label), id(axes.yaxis.label)}
            seen = [text for text in texts(figure) if id(text) not in hidden]
            boxes = [(text, text.get_window_extent()) for text in seen]
        width, height = figure.bbox.width, figure.bbox.height
        for text, box in boxes:
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert inside, f"{text.get_text()!r} is cut off: {box}"
        # Names on a slant have bounding boxes that overlap although the letters do not.
        straight = [(text, box) for text, box in boxes if text.get_rotation() % 90 == 0]
        for index, (one, box) in enumerate(straight):
            for other, beside in straight[:index]:
                assert not box.padded(-1).overlaps(beside.padded(-1)), f"{one.get_text()!r} covers {other.get_text()!r}"

    return check
