"""A graph of gates: the value above and the gradient below each edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from trainlab.figures.studies.backprop.layout import Layout, Place, Route, arrange
from trainlab.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SLIDE,
    VERMILLION,
    fitting_size,
    new_figure,
    number,
    shorten,
    styled,
)
from trainlab.recording.section import Say

SIZE, SMALL = 14, 12  # points
DIAMETER = 0.52  # inches
ROOM = (0.2, 0.2, 1.1, 0.95)  # inches left, right, above (title, legend) and below (caption, small print)
LARGEST, MOST_PIXELS = 1.6, 2.5  # how much larger letters get where there is room, and the slide where there is none
HALO = [withStroke(linewidth=3, foreground="white")]


@dataclass(frozen=True)
class Vertex:
    """A circle, or a text in its place, of a graph of gates.

    kind: "gate" (a circle), "leaf" (a name), "cut" (the name of what is not drawn), or "output". sign: in the circle,
    or the name. tag: what the gate's result is called. inputs: the numbers of other vertices; gradients: of the edges
    to them. step: in which it hands its gradient on; that of the output is 0.
    """

    kind: str
    sign: str
    tag: str
    value: float
    gradient: float
    inputs: tuple[int, ...] = ()
    gradients: tuple[float, ...] = ()
    step: int = 0


@dataclass(frozen=True)
class Words:
    """What stands around the picture."""

    title: str
    caption: str = ""


@styled()
def graph_of_gates(vertices: Sequence[Vertex], words: Words, say: Say, step: int | None = None) -> Figure:
    """The graph of an expression with the value above and the gradient below each edge, as a slide.

    vertices: arguments before what uses them, the output last. step: how far backwards; gradients of later steps are
    left out, and the vertex of this one is marked. None: all are there, and none is marked. A graph that has no room at
    14 points gets a slide of more pixels.
    """
    left, right, above, below = ROOM
    room = SLIDE[0] - left - right, SLIDE[1] - above - below
    significant, layout = deepcopy(fitting(tuple(vertices), room[0]))
    share = min(room[0] / layout.width, room[1] / layout.height)
    pixels = min(MOST_PIXELS, max(1.0, 1 / share))
    letters = min(LARGEST, pixels * share)
    width, height = SLIDE[0] * pixels, SLIDE[1] * pixels
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    size = fitting_size(words.title, min(20 * pixels, 28), 0.8 * width)
    figure.suptitle(words.title, fontsize=size, y=1 - 0.2 / height, va="top")
    axes = figure.add_axes((0, 0, 1, 1))  # in inches, or in larger units where letters are larger
    axes.set_axis_off()
    axes.set_xlim(0, width / letters)
    axes.set_ylim(0, height / letters)
    room = (width - left - right) / letters, (height - above - below) / letters
    layout.scale(min(1.3, room[0] / layout.width), min(1.6, room[1] / layout.height))
    for place in layout.places:
        place.x += left / letters + (room[0] - layout.width) / 2
        place.y += below / letters + (room[1] - layout.height) / 2
    pen = Pen(axes, vertices, layout, significant, step, letters)
    for index, routes in enumerate(layout.routes):
        for route, gradient in zip(routes, vertices[index].gradients, strict=True):
            pen.edge(route, gradient)
        pen.vertex(index)
    legend(figure, width, height, any(count > 1 for count in uses(vertices)), say)
    size = min((fitting_size(line, 16, 0.95 * width) for line in words.caption.splitlines()), default=16)
    figure.text(0.5, 0.62 / height, words.caption, ha="center", va="center", fontsize=size, linespacing=1.3)
    return figure


def uses(vertices: Sequence[Vertex]) -> list[int]:
    """How many edges go out of each vertex."""
    counts = [0] * len(vertices)
    for vertex in vertices:
        for source in vertex.inputs:
            counts[source] += 1
    return counts


@lru_cache(maxsize=4)  # all steps of the way back have one layout
def fitting(vertices: tuple[Vertex, ...], width: float) -> tuple[int, Layout]:
    """The number of significant digits, four where the graph then fits into `width` inches and else three, and the
    layout with it.
    """
    for significant in (4, 3):
        labels = [
            [(label_width(vertices[s].value, g, significant), 0.56) for s, g in zip(v.inputs, v.gradients, strict=True)]
            for v in vertices
        ]
        sizes = [size_of(vertex, used, significant) for vertex, used in zip(vertices, uses(vertices), strict=True)]
        layout = arrange([vertex.inputs for vertex in vertices], sizes, labels)
        if layout.width <= width:
            break
    return significant, layout


def label_width(value: float, gradient: float, significant: int) -> float:
    """The width of the wider of the two numbers at an edge, in the units of the picture."""
    return max(text_width(digits(n, significant), SIZE) for n in (value, gradient))


def size_of(vertex: Vertex, used: int, significant: int) -> tuple[float, float]:
    """Width and height of a vertex in inches. Below one that is used more than once stands the sum of its gradients."""
    sum_below = 0.4 if used > 1 else 0.0  # counted on both sides, since the centre is the middle
    if vertex.kind == "gate":
        return pill_width(vertex.sign), 0.95 + sum_below
    texts = [(shown(vertex), SIZE), (summed(vertex, significant), SMALL)][: 1 + (used > 1)]
    return max(text_width(*text) for text in texts) + 0.12, 0.5 + sum_below


def summed(vertex: Vertex, significant: int) -> str:
    """The sum of the gradients of a vertex, such as "Σ −0.1966"."""
    return f"Σ {digits(vertex.gradient, significant)}"


def pill_width(sign: str) -> float:
    """The width of a gate with this sign in it, in inches."""
    return max(DIAMETER, text_width(sign, SIZE) + 0.24)


def text_width(text: str, size: float) -> float:
    """The width of a text in inches. size: of its letters, in points."""
    return sum(letter_width(letter) for letter in text) * size / 72


@cache
def letter_width(letter: str) -> float:
    """The distance from a letter to the next, as a share of the font's size. A whole text at a time would take much
    longer.
    """
    with_it, without = (TextPath((0, 0), text, size=100).vertices[:, 0] for text in (f"|{letter}|", "||"))
    return float(np.ptp(with_it) - np.ptp(without)) / 100


def legend(figure: Figure, width: float, height: float, sums: bool, say: Say) -> None:
    """Say above the graph which number is which. width, height: of the figure, in inches. sums: whether a Σ stands in
    it.
    """
    entries = [
        (say("above: value, forwards →", "arriba: valor, hacia adelante →"), BLUE),
        (say("below: gradient, backwards ←", "abajo: gradiente, hacia atrás ←"), VERMILLION),
    ]
    if sums:
        entries.append((say("Σ below a name: sum over its edges", "Σ bajo un nombre: suma de sus aristas"), VERMILLION))
    widths = [text_width(text, 16) for text, _ in entries]
    x = (width - sum(widths) - 0.4 * (len(entries) - 1)) / 2
    for (text, colour), own in zip(entries, widths, strict=True):
        figure.text(x / width, 1 - 0.82 / height, text, va="center", color=colour, fontsize=16)
        x += own + 0.4


def digits(value: float, significant: int = 4) -> str:
    """A number with so many significant digits, −0.5344 or 1.2·10⁻⁷; of a whole number below 10⁶ none is lost."""
    if abs(value) >= 10**significant and abs(value) < 1e6:
        return number(round(value))
    return number(float(f"{value:.{significant}g}") + 0.0)  # + 0: no −0


@dataclass(frozen=True)
class Pen:
    """Draws on axes in inches. step: as in `graph_of_gates`. letters: how many times larger an inch is here."""

    axes: Axes
    vertices: Sequence[Vertex]
    layout: Layout
    significant: int
    step: int | None
    letters: float

    def active(self, vertex: Vertex) -> bool:
        """Whether the vertex is the one that hands its gradient on in this step."""
        return self.step is not None and vertex.step == self.step

    def done(self, vertex: Vertex) -> bool:
        """Whether the vertex has handed its gradient on in this step or before."""
        return self.step is None or vertex.step <= self.step

    def edge(self, route: Route, gradient: float) -> None:
        """Draw one edge: its value above, and its gradient below once the way back has come so far."""
        places = [self.layout.places[i] for i in route.through]
        source, target, label = self.vertices[route.source], self.vertices[route.target], places[1]
        active = self.active(target)
        colour = VERMILLION if active else GREY
        points = corners(places)
        self.axes.add_patch(
            PathPatch(curve(points), facecolor="none", edgecolor=colour, linewidth=2.2 if active else 1.4, zorder=1)
        )
        if target.kind == "gate":
            self.arrow(np.array(points[-2]), np.array(points[-1]), colour)
        self.text(label.x, label.y + 0.05, digits(source.value, self.significant), BLUE, va="bottom")
        if self.done(target):
            weight = "bold" if active else "normal"
            self.text(label.x, label.y - 0.05, digits(gradient, self.significant), VERMILLION, va="top", weight=weight)

    def arrow(self, before: np.ndarray, tip: np.ndarray, colour: str) -> None:
        """The head of an arrow. before, tip: points (2,) in the units of the axes."""
        along = (tip - before) / max(float(np.linalg.norm(tip - before)), 1e-9)
        side = np.array([-along[1], along[0]])
        corners_of_head = [tip, tip - 0.13 * along + 0.05 * side, tip - 0.13 * along - 0.05 * side]
        self.axes.add_patch(Polygon(corners_of_head, color=colour, zorder=2))

    def vertex(self, index: int) -> None:
        """Draw one gate, variable or output."""
        vertex, place = self.vertices[index], self.layout.places[index]
        x, y = place.x, place.y
        if vertex.kind == "gate":
            fill = ORANGE if self.active(vertex) else "white"
            outline = pill(x, y, pill_width(vertex.sign) / 2, DIAMETER / 2)
            self.axes.add_patch(PathPatch(outline, facecolor=fill, edgecolor=INK, linewidth=1.8, zorder=3))
            self.text(x, y - 0.01, vertex.sign, INK, va="center", zorder=5, path_effects=None)
            self.text(x, y - DIAMETER / 2 - 0.04, vertex.tag, GREY, va="top", fontsize=SMALL)
        else:
            right = x + place.width / 2 - 0.06
            self.text(
                right, y, shown(vertex), GREY if vertex.kind == "cut" else INK, va="center", ha="right", weight="bold"
            )
        users = [v for v in self.vertices for source in v.inputs if source == index]
        if len(users) > 1 and all(self.done(user) for user in users):
            right, below = (x + 0.2, DIAMETER / 2 + 0.24) if vertex.kind == "gate" else (right, 0.15)
            how = {"ha": "right", "va": "top", "fontsize": SMALL}
            self.text(right, y - below, summed(vertex, self.significant), VERMILLION, **how)

    def text(self, x: float, y: float, text: str, colour: str, **how: Any) -> None:
        """A text at a place in the units of the axes. how: what matplotlib's `text` takes; a font size is that of a
        picture at its usual size.
        """
        how = {"fontsize": SIZE, "ha": "center", "path_effects": HALO, "zorder": 4, **how}
        self.axes.text(x, y, text, color=colour, **{**how, "fontsize": how["fontsize"] * self.letters})


def shown(vertex: Vertex) -> str:
    """The sign of a leaf or an output, of 12 letters at most."""
    return shorten(vertex.sign, 12)


def corners(places: Sequence[Place]) -> list[tuple[float, float]]:
    """Points of an edge: out of the source, along the label, by the bends, and to the rim of the target."""
    source, label, *bends, target = places
    points = [(source.x + source.width / 2, source.y)]
    points += [(label.x - label.width / 2, label.y), (label.x + label.width / 2, label.y)]
    points += [(bend.x, bend.y) for bend in bends]
    radius = min(DIAMETER, target.width) / 2
    centre = target.x - target.width / 2 + radius  # of the left end of a pill
    angle = math.atan2(target.y - points[-1][1], max(centre - points[-1][0], 0.05))
    return [*points, (centre - radius * math.cos(angle), target.y - radius * math.sin(angle))]


def pill(x: float, y: float, half_width: float, radius: float) -> Path:
    """The outline of a gate round (x, y): a circle, or a wider shape with two half circles for its ends. Inches."""
    out = np.array([half_width - radius, 0.0])
    right, left = (radius * np.asarray(Path.arc(*angles).vertices) for angles in ((-90, 90), (90, 270)))
    outline = np.array([x, y]) + np.concatenate([right + out, left - out, [[out[0], -radius]]])
    half = [Path.CURVE4] * (len(right) - 1)
    return Path(outline, [Path.MOVETO, *half, Path.LINETO, *half, Path.CLOSEPOLY])


def curve(points: Sequence[tuple[float, float]]) -> Path:
    """The line of an edge through these points: level along the label, straight into the target, smooth in between."""
    at = np.array(points)
    slopes = np.zeros(len(at))
    for i in range(3, len(at) - 1):  # at a bend, as from its one neighbour to the other
        before, after = ((b[1] - a[1]) / (b[0] - a[0]) for a, b in ((at[i - 1], at[i]), (at[i], at[i + 1])))
        slopes[i] = min(before, after, key=abs) if before * after > 0 else 0.0  # no higher than either end
    vertices, codes = [at[0]], [Path.MOVETO]
    for i, (a, b) in enumerate(pairwise(at)):
        if i == 1 or i == len(at) - 2:
            vertices.append(b)
            codes.append(Path.LINETO)
        else:
            part = (b[0] - a[0]) / (3 if i else 2)
            vertices += [a + part * np.array([1, slopes[i]]), b - part * np.array([1, slopes[i + 1]]), b]
            codes += [Path.CURVE4] * 3
    return Path(np.array(vertices), codes)
