"""A thousand balls on real relief: gradient descent with momentum, J(θ) the height of the ground.

Lecture: "Un ejemplo muy “bonito” puede construirse utilizando datos geográficos de elevación". All balls are one
parameter (N, 2), moved by the repository's own `Momentum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainlab.optim import Momentum
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.momentum.relief import METRES_PER_DEGREE, Relief, distance, drains_to, metres_per_degree

STEPS = 3000
SEA, PIT, LEFT, UNDER_WAY = range(4)
LOWER = 0.1  # metres: who has not come so much lower in the last quarter of its steps sits in a pit
SLOW_STEPS, SLOW_STARTS = 6000, 300  # of the descent that is compared with running water


@dataclass(frozen=True)
class Rolled:
    """What became of N balls with one γ and η.

    fate: int64 (N,): SEA, PIT, LEFT (the map) or UNDER_WAY, for those that came LOWER in the last quarter of their
    steps. length, climbed: float64 (N,), metres walked, and metres upwards. longest: metres, the longest single step of
    all. ends: float64 (N, 2). paths: float64 (steps + 1, N, 2) where they were followed, else empty.
    """

    gamma: float
    eta: float
    fate: np.ndarray
    length: np.ndarray
    climbed: np.ndarray
    longest: float
    ends: np.ndarray
    paths: np.ndarray

    def share(self, fate: int) -> float:
        """The share of the balls that met this fate."""
        return float((self.fate == fate).mean())


@dataclass(frozen=True)
class Journeys:
    """All that was let roll over a relief, and what it is checked against.

    rolled: one for each γ, with the same η. control: γ = 0 with the η/(1 − γ) of the largest γ. starts: (N, 2). story:
    the path of one ball for each γ. gradient_off: slope against finite differences, metres per metre. elsewhere: share
    of the slow descents that end elsewhere than running water does, off the divides (compared: how many) and in all.
    times: how many times as much a slope counts at the heights of the lowest tenth of starts as at the highest where
    heights are divided.
    """

    relief: Relief
    rolled: list[Rolled]
    control: Rolled
    starts: np.ndarray
    story: list[Rolled]
    gradient_off: float
    elsewhere: float
    elsewhere_in_all: float
    compared: int
    times: float

    @property
    def by_sea(self) -> bool:
        """Whether the map has any sea, heights of 0 m or less."""
        return bool(self.relief.heights.min() <= 0)


def journeys(
    relief: Relief, gammas: Sequence[float], eta: float, starts: int, seed: int, on_progress: Progress = no_progress
) -> Journeys:
    """Let balls roll over a relief for each γ, with all that the study compares them with.

    gammas: ascending. eta: metres that a ball at rest walks in a step on a slope of 1 m/m.
    """
    begun = relief.starts(starts, seed)
    settings = [(gamma, eta) for gamma in gammas] + [(0.0, eta / (1 - gammas[-1]))]
    total = STEPS + SLOW_STEPS // 3  # a slow step moves fewer
    *rolled, control = roll(relief, begun, settings, STEPS, lambda done, _: on_progress(done, total))
    chosen = begun[told(rolled, begun)][None]
    story = roll(relief, chosen, settings[:-1], STEPS, follow=True)
    apart, in_all, compared = slow_descent(
        relief, begun[:SLOW_STARTS], lambda done, _: on_progress(STEPS + done // 3, total)
    )
    heights = relief.at(begun)[0].quantile(torch.tensor([0.1, 0.9], dtype=torch.float64))
    return Journeys(
        relief, rolled, control, begun.numpy(), story, gradient_off(relief, begun), apart, in_all, compared,
        float(heights[1] / heights[0]),
    )  # fmt: skip


def roll(
    relief: Relief,
    starts: Tensor,
    settings: Sequence[tuple[float, float]],
    steps: int,
    on_progress: Progress = no_progress,
    follow: bool = False,
) -> list[Rolled]:
    """Let balls roll from `starts`, float64 (N, 2), once for each (γ, η), all at once.

    A ball that reaches the sea (0 m or less) or leaves the map stays there. The parameters are degrees; the gradient
    that the optimizer is given is the one that moves a ball along the slope: η times the slope is metres.
    """
    n, groups = len(starts), len(settings)
    balls = [nn.Parameter(starts.clone()) for _ in settings]
    each: list[dict[str, Any]] = [
        {"params": [ball], "lr": eta, "momentum": gamma} for ball, (gamma, eta) in zip(balls, settings, strict=True)
    ]
    optimizer = Momentum(each, lr=1.0)
    east, north = starts.repeat(groups, 1).T.contiguous()
    height, to_east, to_north, shrunk = relief.ground(east, north)
    length, climbed, longest = (torch.zeros(groups * n, dtype=torch.float64) for _ in range(3))
    fate, moving = torch.full((groups * n,), PIT), torch.ones(groups * n, dtype=torch.bool)
    lowest, lowest_before = height.clone(), height.clone()
    paths = [torch.stack([east, north], dim=1)] if follow else []
    for step in range(steps):
        gradient = torch.stack([to_east / shrunk, to_north], dim=1) * (moving / METRES_PER_DEGREE)[:, None]
        with torch.no_grad():
            for ball, part, goes in zip(balls, gradient.split(n), moving.split(n), strict=True):
                ball.grad = part
                optimizer.velocity(ball).mul_(goes[:, None])  # who has arrived stays
            optimizer.step()
            new_east, new_north = torch.cat([ball.detach() for ball in balls]).T.contiguous()
        walked = torch.hypot((new_east - east) * shrunk, new_north - north) * METRES_PER_DEGREE
        east, north, before = new_east, new_north, height
        height, to_east, to_north, shrunk = relief.ground(east, north)
        length += walked
        climbed += (height - before).clamp_(min=0)
        longest, lowest = torch.maximum(longest, walked), torch.minimum(lowest, height)
        off = moving & relief.outside(east, north)
        arrived = moving & ~off & (height <= 0)
        fate[off], fate[arrived] = LEFT, SEA
        moving &= ~(off | arrived)
        if step + 1 == steps * 3 // 4:
            lowest_before = lowest.clone()
        if follow:
            paths.append(torch.stack([east, north], dim=1))
        if step % 50 == 0:
            on_progress(step, steps)
    fate[moving & (lowest < lowest_before - LOWER)] = UNDER_WAY
    walked_by = torch.stack(paths).numpy() if follow else np.empty((0, groups * n, 2))
    ends = torch.stack([east, north], dim=1)
    parts = (slice(i * n, (i + 1) * n) for i in range(groups))
    return [
        Rolled(
            gamma, eta, fate[p].numpy(), length[p].numpy(), climbed[p].numpy(), float(longest[p].max()),
            ends[p].numpy(), walked_by[:, p],
        )
        for (gamma, eta), p in zip(settings, parts, strict=True)
    ]  # fmt: skip


def told(rolled: Sequence[Rolled], starts: Tensor) -> int:
    """The start whose story is drawn: with the smallest γ it stays in a pit, with the largest it comes far, to the sea
    if any does, and on no great detour."""
    first, last = rolled[0], rolled[-1]
    wanted = (first.fate == PIT) & (last.fate == SEA)
    if not wanted.any():
        wanted = first.fate == PIT
    straight = distance(starts, torch.from_numpy(last.ends)).numpy()
    return int(np.where(wanted, straight**2 / np.maximum(last.length, 1.0), -1.0).argmax())


def gradient_off(relief: Relief, places: Tensor) -> float:
    """Largest difference between the slope and central differences of the height, metres per metre, where both lie in
    one cell."""
    _, slope = relief.at(places)
    scale, largest = metres_per_degree(places), 0.0
    for axis in (0, 1):
        step = torch.zeros_like(places)
        step[:, axis] = 1.0 / scale[:, axis]  # one metre
        beyond, before = places + step, places - step
        same = torch.stack([(a == b) for a, b in zip(relief.cells(beyond), relief.cells(before), strict=True)]).all(0)
        measured = (relief.at(beyond)[0] - relief.at(before)[0]) / 2
        off = (measured - slope[:, axis]).abs()[same]
        largest = max(largest, float(off.max()) if len(off) else 0.0)
    return largest


def slow_descent(relief: Relief, starts: Tensor, on_progress: Progress = no_progress) -> tuple[float, float, int]:
    """γ = 0 with an η so small that no step is longer than a fifth of a cell, against running water (`drains_to`).

    Returns the share that ends elsewhere (not both in the sea, and over half a cell apart) of those off the divides and
    of all; and how many were off the divides. Counted are those where both end in the sea or in a pit: not who left
    the map, who is still on the way after SLOW_STEPS, and who stopped on level ground.
    """
    corners = torch.cartesian_prod(relief.longitude, relief.latitude)
    steepest = float(relief.at(corners)[1].norm(dim=1).max())
    slow = roll(relief, starts, [(0.0, relief.cell / 5 / steepest)], SLOW_STEPS, on_progress)[0]
    drained, undisputed = drains_to(relief, starts)
    ends, fate = torch.from_numpy(slow.ends), torch.from_numpy(slow.fate)
    by_sea = relief.at(drained)[0] <= 0
    counted = ((fate == SEA) | ((fate == PIT) & near_a_pit(relief, ends))) & (by_sea | near_a_pit(relief, drained))
    apart = ~((fate == SEA) & by_sea) & (distance(ends, drained) > relief.cell / 2)
    sure = counted & undisputed
    shares = [float(apart[chosen].double().mean()) if chosen.any() else 0.0 for chosen in (sure, counted)]
    return shares[0], shares[1], int(sure.sum())


def near_a_pit(relief: Relief, places: Tensor) -> Tensor:
    """Which places are within a fifth of a cell of a pit: bool (N,)."""
    row, column = relief.cells(places)
    row += (places[:, 1] - relief.latitude[row] > relief.tall[row] / 2).long()
    column += (places[:, 0] - relief.longitude[column] > relief.widths[column] / 2).long()
    node = torch.stack([relief.longitude[column], relief.latitude[row]], dim=1)
    return torch.from_numpy(relief.pits)[row, column] & (distance(places, node) < relief.cell / 5)
