"""A graph of gates: the value above and the gradient below each edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.patheffects import withStroke
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from trainlab.figures.studies.backprop.layout import Layout, Place, Route, arrange
from trainlab.figures.style import BLUE, GREY, INK, ORANGE, SLIDE, VERMILLION, new_figure, number, shorten, styled
from trainlab.recording.section import Say

SIZE, SMALL = 14, 12  # points
DIAMETER = 0.52  # inches
MARGINS = (0.35, 0.35, 1.15, 0.95)  # inches: left, right, top (title, legend), bottom (caption, small print)
WIDEST = 2.5  # at most so many times a slide
HALO = [withStroke(linewidth=3, foreground="white")]


@dataclass(frozen=True)
class Vertex:
    """kind: "gate" (a circle), "leaf" (a name), "cut" (the name of what is not drawn), or "output". inputs: numbers of
    other vertices, with the gradient of each edge, and in `steps` when the pass backwards comes through it.
    """

    kind: str
    sign: str
    tag: str
    value: float
    gradient: float
    inputs: tuple[int, ...] = ()
    gradients: tuple[float, ...] = ()
    step: int = 0  # in which it hands its gradient on; the output's is 0


@dataclass(frozen=True)
class Words:
    """What stands around the picture."""

    title: str
    caption: str = ""


@styled()
def graph_of_gates(vertices: Sequence[Vertex], words: Words, say: Say, step: int | None = None) -> Figure:
    """vertices: the last one is the output. step: how far backwards; gradients of later steps are left out, and the
    vertex of this one is marked. None: all, and none is marked.
    """
    digits, layout = fitting(vertices)
    left, right, top, bottom = MARGINS
    room = SLIDE[0] - left - right, SLIDE[1] - top - bottom
    times = min(WIDEST, max(1.0, layout.width / room[0], layout.height / room[1]))
    width, height = SLIDE[0] * times, SLIDE[1] * times
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    figure.suptitle(words.title, fontsize=min(20 * times, 30), y=1 - 0.2 / height, va="top")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    stretch(layout, width - left - right, height - top - bottom)
    for place in layout.places:
        place.x += left + (width - left - right - layout.width) / 2
        place.y += bottom + (height - top - bottom - layout.height) / 2
    legend(axes, width, height, say)
    pen = Pen(axes, vertices, layout, digits, step)
    for index, routes in enumerate(layout.routes):
        for route, gradient in zip(routes, vertices[index].gradients, strict=True):
            pen.edge(route, gradient)
        pen.vertex(index)
    if words.caption:
        axes.text(width / 2, 0.62, words.caption, ha="center", va="center", fontsize=16 if times == 1 else 18)
    return figure


def fitting(vertices: Sequence[Vertex]) -> tuple[int, Layout]:
    """With four significant digits where they fit on a slide, else with three."""
    uses = [0] * len(vertices)
    for vertex in vertices:
        for source in vertex.inputs:
            uses[source] += 1
    for digits in (4, 3):
        texts = [short(v.value, digits) for v in vertices] + [
            short(g, digits) for v in vertices for g in (*v.gradients, v.gradient)
        ]
        label = (max(text_width(text, SIZE) for text in texts) + 0.04, 0.56)
        sizes = [size_of(vertex, used) for vertex, used in zip(vertices, uses, strict=True)]
        layout = arrange([vertex.inputs for vertex in vertices], sizes, label)
        if layout.width <= SLIDE[0] - MARGINS[0] - MARGINS[1]:
            break
    return digits, layout


def size_of(vertex: Vertex, used: int) -> tuple[float, float]:
    """Width and height in inches. Under what is used more than once stands the sum of its gradients."""
    sum_below = 0.44 if used > 1 else 0.0  # counted on both sides, since the centre is the middle
    if vertex.kind == "gate":
        return pill_width(vertex.sign), 1.0 + sum_below
    return text_width(shown(vertex), SIZE) + 0.1, 0.5 + sum_below


def pill_width(sign: str) -> float:
    return max(DIAMETER, text_width(sign, SIZE) + 0.24)


def text_width(text: str, size: float) -> float:
    """Inches."""
    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text.strip() else 0.0


def stretch(layout: Layout, width: float, height: float) -> None:
    """Use some of the room that is left."""
    wider = min(1.6, width / layout.width)
    higher = min(1.5, height / layout.height)
    for place in layout.places:
        place.x *= wider
        place.y *= higher
    object.__setattr__(layout, "width", layout.width * wider)
    object.__setattr__(layout, "height", layout.height * higher)


def legend(axes: Axes, width: float, height: float, say: Say) -> None:
    entries = (
        (say("above: value, forwards →", "arriba: valor, hacia adelante →"), BLUE),
        (say("below: gradient, backwards ←", "abajo: gradiente, hacia atrás ←"), VERMILLION),
    )
    for x, (text, colour), side in zip((-0.15, 0.15), entries, ("right", "left"), strict=True):
        axes.text(width / 2 + x, height - 0.82, text, ha=side, va="center", color=colour, fontsize=16)


def short(value: float, digits: int) -> str:
    """Significant digits, but no digit of a whole number is lost."""
    if abs(value) >= 10**digits and abs(value) < 1e6:
        return number(round(value))
    return number(float(f"{value:.{digits}g}"))


@dataclass(frozen=True)
class Pen:
    """Draws on axes in inches. step: as in `graph_of_gates`."""

    axes: Axes
    vertices: Sequence[Vertex]
    layout: Layout
    digits: int
    step: int | None

    def active(self, vertex: Vertex) -> bool:
        return self.step is not None and vertex.step == self.step

    def done(self, vertex: Vertex) -> bool:
        return self.step is None or vertex.step <= self.step

    def edge(self, route: Route, gradient: float) -> None:
        places = [self.layout.places[i] for i in route.through]
        source, target, label = self.vertices[route.source], self.vertices[route.target], places[1]
        active = self.active(target)
        colour = VERMILLION if active else GREY
        points = corners(places, reach(source), reach(target))
        self.axes.add_patch(
            PathPatch(curve(points), facecolor="none", edgecolor=colour, linewidth=2.2 if active else 1.4, zorder=1)
        )
        if target.kind == "gate":
            self.arrow(np.array(points[-2]), np.array(points[-1]), colour)
        self.text(label.x, label.y + 0.05, short(source.value, self.digits), BLUE, va="bottom")
        if self.done(target):
            weight = "bold" if active else "normal"
            self.text(label.x, label.y - 0.05, short(gradient, self.digits), VERMILLION, va="top", weight=weight)

    def arrow(self, before: np.ndarray, tip: np.ndarray, colour: str) -> None:
        along = (tip - before) / max(float(np.linalg.norm(tip - before)), 1e-9)
        side = np.array([-along[1], along[0]])
        corners_of_head = [tip, tip - 0.13 * along + 0.05 * side, tip - 0.13 * along - 0.05 * side]
        self.axes.add_patch(Polygon(corners_of_head, color=colour, zorder=2))

    def vertex(self, index: int) -> None:
        vertex, place = self.vertices[index], self.layout.places[index]
        x, y = place.x, place.y
        if vertex.kind == "gate":
            width = pill_width(vertex.sign)
            self.axes.add_patch(
                FancyBboxPatch(
                    (x - width / 2, y - DIAMETER / 2), width, DIAMETER,
                    boxstyle=f"round,pad=0,rounding_size={DIAMETER / 2}",
                    facecolor=ORANGE if self.active(vertex) else "white", edgecolor=INK, linewidth=1.8, zorder=3,
                )
            )  # fmt: skip
            self.axes.text(x, y - 0.01, vertex.sign, ha="center", va="center", fontsize=SIZE, zorder=5)
            self.text(x, y - DIAMETER / 2 - 0.04, vertex.tag, GREY, va="top", fontsize=SMALL)
        else:
            self.text(x, y, shown(vertex), GREY if vertex.kind == "cut" else INK, va="center", weight="bold")
        users = [v for v in self.vertices for source in v.inputs if source == index]
        if len(users) > 1 and all(self.done(user) for user in users):
            below = y - (DIAMETER / 2 + 0.24 if vertex.kind == "gate" else 0.15)
            self.text(x, below, f"Σ {short(vertex.gradient, self.digits)}", VERMILLION, va="top", fontsize=SMALL)

    def text(self, x: float, y: float, text: str, colour: str, **how: Any) -> None:
        self.axes.text(x, y, text, color=colour, ha="center", path_effects=HALO, zorder=4, **{"fontsize": SIZE, **how})


def reach(vertex: Vertex) -> float:
    """From the centre to where an edge begins or ends, in inches."""
    return pill_width(vertex.sign) / 2 if vertex.kind == "gate" else text_width(shown(vertex), SIZE) / 2 + 0.06


def shown(vertex: Vertex) -> str:
    return shorten(vertex.sign, 12)


def corners(places: Sequence[Place], leaves: float, arrives: float) -> list[tuple[float, float]]:
    """Points of an edge, level from each even one to the next: out of the source, along the label, past others, in."""
    source, target = places[0], places[-1]
    points = [(source.x + leaves, source.y)]
    for place in places[1:-1]:
        half = max(place.width / 2, 0.02)
        points += [(place.x - half, place.y), (place.x + half, place.y)]
    last = points[-1]
    # towards the centre of a circle, and to its rim
    angle = math.atan2(target.y - last[1], max(target.x - arrives + DIAMETER / 2 - last[0], 0.05))
    rim = DIAMETER / 2
    centre = target.x - arrives + rim  # of the left end of a pill
    points.append((centre - rim * math.cos(angle), target.y - rim * math.sin(angle)))
    return points


def curve(points: Sequence[tuple[float, float]]) -> Path:
    """Smooth between two places, straight along a label and into the target."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for index, (a, b) in enumerate(zip(points, points[1:], strict=False)):
        last = index == len(points) - 2
        if index % 2 == 1 or last:
            vertices.append(b)
            codes.append(Path.LINETO)
        else:
            middle = (a[0] + b[0]) / 2
            vertices += [(middle, a[1]), (middle, b[1]), b]
            codes += [Path.CURVE4] * 3
    return Path(vertices, codes)
