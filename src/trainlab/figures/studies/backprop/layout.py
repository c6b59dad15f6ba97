"""Where the gates of a graph go: in columns by their distance from the output, with few crossings and short edges.

Layers, dummy places for edges that are long, barycentric order, then heights by least squares: the method of Sugiyama,
Tagawa and Toda (1981). Between two columns of gates there is one of labels, so that every edge has room for its numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SWEEPS, RELAXATIONS = 12, 60
THIN = 0.14  # inches of height that an edge needs to pass by


@dataclass
class Place:
    """A gate, a label or a bend of an edge. column: even for gates, odd for labels. x, y: of its centre, in inches."""

    column: int
    width: float
    height: float
    before: list[int] = field(default_factory=list)  # places in the column to the left that it is joined to
    after: list[int] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    straight: float = 1.0  # how much it matters that its edges run level


@dataclass(frozen=True)
class Route:
    """The places that an edge runs through, from left to right: source, label, bends, target."""

    source: int
    target: int
    through: list[int]

    @property
    def label(self) -> int:
        return self.through[1]


@dataclass(frozen=True)
class Layout:
    """places: the gates by their numbers, then labels and bends. routes: of each gate's inputs. width, height: inches."""

    places: list[Place]
    routes: list[list[Route]]
    width: float
    height: float


def arrange(
    inputs: Sequence[Sequence[int]], sizes: Sequence[tuple[float, float]], label: tuple[float, float]
) -> Layout:
    """inputs: of each gate, the gates that it uses, all of smaller numbers; the last one is the output. sizes: width and
    height of each gate in inches; label: of what stands at an edge.
    """
    distance = [0] * len(inputs)
    for gate in reversed(range(len(inputs))):
        for source in inputs[gate]:
            distance[source] = max(distance[source], distance[gate] + 1)
    places = [Place(2 * (max(distance) - d), *size) for d, size in zip(distance, sizes, strict=True)]
    routes: list[list[Route]] = [[] for _ in inputs]
    columns: dict[int, list[int]] = defaultdict(list)
    visit(len(inputs) - 1, inputs, places, routes, columns, label)
    uncross(places, columns)
    spread(places, columns)
    width = across(places, columns)
    top = max(p.y + p.height / 2 for p in places)
    bottom = min(p.y - p.height / 2 for p in places)
    for place in places:
        place.y -= bottom
    return Layout(places, routes, width, top - bottom)


def visit(
    gate: int,
    inputs: Sequence[Sequence[int]],
    places: list[Place],
    routes: list[list[Route]],
    columns: dict[int, list[int]],
    label: tuple[float, float],
) -> None:
    """Put the gate and all that it uses into their columns, in the order of the expression: a tree has no crossing."""
    columns[places[gate].column].append(gate)
    for source in inputs[gate]:
        last, first = places[source].column, places[gate].column
        through = [gate]
        for column in range(first - 1, last, -1):
            is_label = column == last + 1
            places.append(Place(column, *(label if is_label else (0.0, THIN)), straight=4.0))
            columns[column].append(len(places) - 1)
            through.append(len(places) - 1)
        through.append(source)
        for right, left in zip(through, through[1:], strict=False):
            places[right].before.append(left)
            places[left].after.append(right)
        routes[gate].append(Route(source, gate, through[::-1]))
        if not any(source in column for column in columns.values()):
            visit(source, inputs, places, routes, columns, label)


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
    total = 0
    for column, ids in columns.items():
        rank = {i: r for r, i in enumerate(columns.get(column + 1, []))}
        ends = np.array([rank[j] for i in ids for j in sorted(places[i].after, key=rank.__getitem__)])
        total += int(np.triu(ends[:, None] > ends[None, :], 1).sum()) if len(ends) else 0
    return total


def spread(places: list[Place], columns: dict[int, list[int]]) -> None:
    """Heights that keep all apart and make the edges as level as that allows: least squares, a column at a time."""
    for ids in columns.values():
        for position, i in enumerate(ids):
            places[i].y = -float(position)
    for turn in range(RELAXATIONS):
        for column in sorted(columns, reverse=turn % 2 == 0):
            ids = columns[column]
            wanted = []
            for i in ids:
                joined = [*places[i].before, *places[i].after]
                weights = [max(places[i].straight, places[j].straight) for j in joined]
                wanted.append(np.average([places[j].y for j in joined], weights=weights) if joined else places[i].y)
            for i, y in zip(ids, apart(wanted, [places[i].height for i in ids]), strict=True):
                places[i].y = y


def apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """The heights nearest to those wanted, from the top down, of which none overlaps the next: pooled neighbours."""
    offsets = np.cumsum([0.0] + [(a + b) / 2 for a, b in zip(heights, heights[1:], strict=False)])
    blocks: list[tuple[float, int]] = []  # mean and count of what moves as one
    for value in np.asarray(wanted) + offsets:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] < mean:
            previous, many = blocks.pop()
            mean, count = (previous * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    return [mean - offset for (mean, offset) in zip([m for m, n in blocks for _ in range(n)], offsets, strict=True)]


def across(places: list[Place], columns: dict[int, list[int]]) -> float:
    """x of each place; returns the whole width. Steep edges get more room between the columns."""
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
