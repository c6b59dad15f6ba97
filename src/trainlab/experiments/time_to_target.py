"""Which choice gets to an error first, each with the learning rate that is best for it: ReLU against tanh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainlab.recording.section import Section
from trainlab.sweeps.names import shown
from trainlab.sweeps.table import Group, show


def section(groups: Sequence[Group]) -> Section | None:
    """How soon each choice reached the target, in sentences; None for runs that do not stop at one."""
    timed = times_to_target(groups)
    return Section("time to the target", sentences=sentences(*timed)) if timed else None


EPOCHS, SECONDS = "last/epoch", "last/training_seconds"


@dataclass(frozen=True)
class TimeToTarget:
    """How soon one of the compared choices reached the target.

    best: its runs with the learning rate that got there first. reached: whether every seed did.
    """

    name: str
    best: Group
    reached: bool


def times_to_target(groups: Sequence[Group]) -> tuple[str, list[TimeToTarget]] | None:
    """The option that runs up to a target compare, and for each of its values the group that got there first.

    Compared is the one choice that is not the learning rate, which is chosen for each value by itself. A group in which
    every seed got there comes before one in which not every seed did. The first to arrive comes first. None where there
    is no such comparison.
    """
    keys = [key for key in groups[0].choices if key != "optim.lr"]
    racing = [g for g in groups if g.finished and all("target" in run.results for run in g.finished)]
    if len(keys) != 1 or not racing:
        return None
    compared = []
    for name in dict.fromkeys(shown(g.choices[keys[0]]) for g in racing):
        side = [g for g in racing if shown(g.choices[keys[0]]) == name]
        best = min(side, key=lambda g: (not _all_reached(g), g.mean(EPOCHS), g.mean(SECONDS)))
        compared.append(TimeToTarget(name, best, _all_reached(best)))
    return keys[0], sorted(compared, key=lambda c: (not c.reached, c.best.mean(EPOCHS)))


def _all_reached(g: Group) -> bool:
    return all(run.results.get("target_reached") for run in g.finished) and not g.unfinished


def sentences(key: str, compared: Sequence[TimeToTarget]) -> list[str]:
    """When each choice reached the target, with the ratio of its time to that of the first."""
    first, said = compared[0], []
    for c in compared:
        results = c.best.finished[0].results
        measured_on = {"train": "training", "val": "validation"}[results["monitor"].split("/")[0]]
        goal = f"{100 * results['target']:g} % {measured_on} error"
        rate = f" with optim.lr={shown(c.best.choices['optim.lr'])}" if "optim.lr" in c.best.choices else ""
        if not c.reached:
            said.append(f"{key}={c.name}{rate} did not reach {goal} with every seed")
            continue
        epochs, seconds = (show(m, c.best.mean(m), c.best.deviation(m)) for m in (EPOCHS, SECONDS))
        text = f"{key}={c.name}{rate} reaches {goal} after {epochs} epochs, {seconds} s"
        if c is not first:
            ratios = [c.best.mean(m) / (first.best.mean(m) or math.nan) for m in (EPOCHS, SECONDS)]
            text += f": {ratios[0]:.2f} × the epochs and {ratios[1]:.2f} × the seconds of {first.name}"
        said.append(text)
    return said
