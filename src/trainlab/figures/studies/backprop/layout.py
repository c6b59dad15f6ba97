"""Where the gates of a graph go: in columns by their distance from the output, with few crossings and short edges.

Layers, bends for edges that are long, barycentric order, then heights by least squares: the method of Sugiyama, Tagawa
and Toda (1981). Between two columns of gates there is one of labels, so that every edge has room for its numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

SWEEPS, TURNS = 12, 60
THIN = 0.16  # inches of height that an edge needs to pass by
LEVEL = 8.0  # how much more it matters that an edge is level where it is long, or bears its numbers


@dataclass
class Place:
    """A gate, a label or a bend of an edge.

    column: even for gates, odd for labels. before, after: the places in the neighbouring columns that it is joined to.
    x, y: of its centre; width, height: all in inches.
    """

    column: int
    width: float
    height: float
    is_gate: bool = False
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Route:
    """An edge. through: the places that it runs through, from left to right: source, label, bends, target."""

    source: int
    target: int
    through: list[int]

    @property
    def label(self) -> int:
        """The number of the place where the edge's two numbers stand."""
        return self.through[1]


@dataclass
class Layout:
    """Where everything in the picture is.

    places: the gates by their numbers, then labels and bends. routes: of each gate's inputs, in their order. width,
    height: of everything, in inches; the lower left corner is (0, 0).
    """

    places: list[Place]
    routes: list[list[Route]]
    width: float = 0.0
    height: float = 0.0

    def scale(self, x: float, y: float) -> None:
        """Move the places apart by these factors; they themselves stay as large as they are."""
        for place in self.places:
            place.x *= x
            place.y *= y
        self.width *= x
        self.height *= y


def arrange(
    inputs: Sequence[Sequence[int]],
    sizes: Sequence[tuple[float, float]],
    labels: Sequence[Sequence[tuple[float, float]]],
) -> Layout:
    """Find a place for each gate, for the labels at the edges, and for their bends.

    inputs: of each gate, the gates that it uses, all of smaller numbers; the last one is the output. sizes: width and
    height of each gate, in inches. labels: those of what stands at each of its edges.
    """
    distance = [0] * len(inputs)
    for gate in reversed(range(len(inputs))):
        for source in inputs[gate]:
            distance[source] = max(distance[source], distance[gate] + 1)
    places = [Place(2 * (max(distance) - d), *size, is_gate=True) for d, size in zip(distance, sizes, strict=True)]
    layout = Layout(places, [[] for _ in inputs])
    columns: dict[int, list[int]] = defaultdict(list)
    visit(len(inputs) - 1, inputs, labels, layout, columns)
    uncross(places, columns)
    spread(places, columns)
    level(places, columns)
    layout.width = across(places, columns)
    bottom = min(place.y - place.height / 2 for place in places)
    layout.height = max(place.y + place.height / 2 for place in places) - bottom
    for place in places:
        place.y -= bottom
    return layout


def visit(
    gate: int,
    inputs: Sequence[Sequence[int]],
    labels: Sequence[Sequence[tuple[float, float]]],
    layout: Layout,
    columns: dict[int, list[int]],
) -> None:
    """Put the gate and all that it uses into their columns, in the order of the expression: a tree has no crossing."""
    places = layout.places
    columns[places[gate].column].append(gate)
    for source, label in zip(inputs[gate], labels[gate], strict=True):
        through = [gate]
        for column in range(places[gate].column - 1, places[source].column, -1):
            beside_source = column == places[source].column + 1
            columns[column].append(len(places))
            through.append(len(places))
            places.append(Place(column, *(label if beside_source else (0.0, THIN))))
        through.append(source)
        for right, left in pairwise(through):
            places[right].before.append(left)
            places[left].after.append(right)
        layout.routes[gate].append(Route(source, gate, through[::-1]))
        if source not in columns[places[source].column]:
            visit(source, inputs, labels, layout, columns)


def uncross(places: list[Place], columns: dict[int, list[int]]) -> None:
    """Order each column by the mean of its neighbours' places, to and fro, as long as crossings become fewer."""
    best, least = {c: list(ids) for c, ids in columns.items()}, crossings(places, columns)
    for sweep in range(SWEEPS):
        if least == 0:
            break
        leftwards = sweep % 2 == 0
        for column in sorted(columns, reverse=leftwards):
            ranks = {i: r for c in (column - 1, column + 1) for r, i in enumerate(columns.get(c, []))}
            rank = {i: r for r, i in enumerate(columns[column])}

            def centre(i: int, ranks: dict[int, int] = ranks, rank: dict[int, int] = rank) -> float:
                joined = places[i].after if leftwards else places[i].before  # noqa: B023
                return float(np.mean([ranks[j] for j in joined])) if joined else rank[i]

            columns[column].sort(key=centre)
        now = crossings(places, columns)
        if now < least:
            best, least = {c: list(ids) for c, ids in columns.items()}, now
    columns.update(best)


def crossings(places: list[Place], columns: dict[int, list[int]]) -> int:
    """How many pairs of edges cross each other, all columns together. columns: the numbers of the places in each, from
    top to bottom.
    """
    total = 0
    for column, ids in columns.items():
        rank = {i: r for r, i in enumerate(columns.get(column + 1, []))}
        ends = np.array([rank[j] for i in ids for j in sorted(places[i].after, key=rank.__getitem__)])
        total += int(np.triu(ends[:, None] > ends[None, :], 1).sum()) if len(ends) else 0
    return total


def spread(places: list[Place], columns: dict[int, list[int]]) -> None:
    """Give all places the heights that keep them apart and make the edges as level as that allows: least squares.

    A column at a time, to and fro, each time by the neighbours that have just been placed, then some turns by all; to
    the right at last, so that a chain of gates is level and a gate is in the middle of its inputs.
    """
    for ids in columns.values():
        for position, i in enumerate(ids):
            places[i].y = -float(position)
    for turn in range(TURNS):
        rightwards = turn % 2 == 1
        for column in sorted(columns, reverse=not rightwards):
            ids, wanted = columns[column], []
            for i in ids:
                place = places[i]
                joined = place.before if rightwards else place.after
                if not joined or TURNS // 2 < turn < TURNS - 1:
                    joined = [*place.before, *place.after]
                weights = [stiffness(place, places[j]) for j in joined]
                total = sum(weight * places[j].y for weight, j in zip(weights, joined, strict=True))
                wanted.append(total / sum(weights))
            for i, y in zip(ids, apart(wanted, [places[i].height for i in ids]), strict=True):
                places[i].y = y


def stiffness(one: Place, other: Place) -> float:
    """How hard the piece of an edge between two places resists a slope: long edges run level, and so does the only edge
    out of a gate.
    """
    if not one.is_gate and not other.is_gate:
        return LEVEL
    gate, beside = (one, other) if one.is_gate else (other, one)
    return LEVEL if beside.column == gate.column + 1 and len(gate.after) == 1 else 1.0


def level(places: list[Place], columns: dict[int, list[int]]) -> None:
    """Bring the only label of a gate to the gate's height, some hundredths of an inch, where nothing is in the way."""
    for ids in columns.values():
        for rank, i in enumerate(ids):
            label, source = places[i], places[places[i].before[0]] if places[i].before else None
            if label.is_gate or source is None or not source.is_gate or len(source.after) > 1:
                continue
            above, below = places[ids[rank - 1]] if rank else None, places[ids[rank + 1]] if ids[rank + 1 :] else None
            most = above.y - (above.height + label.height) / 2 if above else np.inf
            least = below.y + (below.height + label.height) / 2 if below else -np.inf
            label.y = float(np.clip(source.y, least - 0.02, most + 0.02))
            if not source.before and abs(source.y - label.y) < source.height / 4:
                source.y = label.y  # a variable


def apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """The heights nearest to those wanted, from the top down, of which none overlaps the next: pooled neighbours."""
    offsets = np.cumsum([0.0] + [(a + b) / 2 for a, b in pairwise(heights)])
    blocks: list[tuple[float, int]] = []  # mean and count of what moves as one
    for value in np.asarray(wanted) + offsets:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] < mean:
            previous, many = blocks.pop()
            mean, count = (previous * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    return [mean - offset for (mean, offset) in zip([m for m, n in blocks for _ in range(n)], offsets, strict=True)]


def across(places: list[Place], columns: dict[int, list[int]]) -> float:
    """Give each place its x; returns the whole width in inches. Steep edges get more room between the columns."""
    edge = 0.0
    for column in sorted(columns):
        width = max(places[i].width for i in columns[column])
        if column:
            steepest = max(
                (abs(places[i].y - places[j].y) for i in columns[column] for j in places[i].before), default=0.0
            )
            edge += min(0.45, 0.1 + 0.12 * steepest)
        for i in columns[column]:
            places[i].x = edge + width / 2
            if column % 2:
                places[i].width = width
        edge += width
    return edge
