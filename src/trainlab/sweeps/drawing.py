"""The figures of many runs: errors against each option that has an order, curves, and those of the experiments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainlab.experiments import ablation, time_to_target
from trainlab.figures.style import save, shorten
from trainlab.figures.sweeps import lines as figures
from trainlab.recording.run_directory import LARGEST, read_rows
from trainlab.recording.section import Section
from trainlab.sweeps.names import clean, shown
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SKLEARN, VALIDATED, Group, Run, numeric_choices, ordered, place_of

TESTED, TRAINED = "test/top1_error", "last/train/top1_error"
MOST_CURVES, MOST_LINES = 10, 8
LONGEST_TICK, LONGEST_NAME = 24, 80  # characters of a value at an axis, and of a curve's name


def draw(groups: Sequence[Group], sections: Sequence[Section], folder: Path) -> list[Path]:
    """The figures that these runs can have, those of their experiments among them; returns what was written."""
    groups = [g for g in groups if g.finished]
    if not groups:
        return []
    numeric = numeric_choices(groups)
    drawn = {name: figure for key in numeric for name, figure in against(key, groups).items()}
    for section in sections:
        made = {name: make() for name, make in section.figures.items()}
        drawn |= {name: figure for name, figure in made.items() if figure is not None}
    curves = draw_curves(groups, numeric)
    drawn |= {"curves": curves} if curves else {}
    paths = []
    for name, drawing in drawn.items():
        paths.append(folder / f"{name}.png")
        save(drawing, paths[-1])
    return paths


def draw_curves(groups: Sequence[Group], numeric: Sequence[str]) -> figures.Figure | None:
    """The error over the epochs, a curve for each group; None for too many, or for runs without rows."""
    first, choices = groups[0].finished[0], groups[0].choices
    monitored = "train/top1_error" if "target" in first.results else "val/top1_error"
    if not any(monitored in row for row in read_rows(first.folder)):
        monitored = "train/top1_error"
    timed = time_to_target.times_to_target(groups)
    drawn_groups = [c.best for c in timed[1]] if timed else groups
    if len(drawn_groups) > MOST_CURVES:
        return None
    named: Callable[[Group], str] = ablation.change if ablation.is_ablation(groups) else label
    natural = ordered(drawn_groups, numeric[0]) if len(choices) == 1 and numeric else drawn_groups
    names = [named(g) for g in natural]
    short = [shorten(name, LONGEST_NAME) for name in names]
    names = short if len(set(short)) == len(set(names)) else names
    curves = {name: [curve(run, monitored) for run in g.finished] for name, g in zip(names, natural, strict=True)}
    if not any(epochs for of_group in curves.values() for epochs, _ in of_group):
        return None
    return figures.curves_of(
        {"train/top1_error": "training error", "val/top1_error": "validation error"}[monitored],
        curves,
        target=first.results.get("target"),
        ordered=len(choices) == 1 and bool(numeric),
    )


def against(key: str, groups: Sequence[Group]) -> dict[str, figures.Figure]:
    """Errors and weight norms against the values of option `key`, a line for each combination of the others; by their
    files' names, none where there would be too many lines.
    """
    values = sorted({alike(g.choices[key]): g.choices[key] for g in groups}.values(), key=place_of)
    others = list(dict.fromkeys(label(g, without=key) for g in groups))
    if len(others) > MOST_LINES:
        return {}
    seeds = max(len(g.finished) for g in groups)
    ticks = [
        value if isinstance(value, int | float) else drawable(shorten(shown(value), LONGEST_TICK)) for value in values
    ]
    lines = Lines(key, values, groups)
    norms = [lines.of("last/weight_norm", other, other) for other in others]
    stem, option = clean(key.replace(".", "_")), drawable(key)
    if len(others) > 1:
        tested = [lines.of(TESTED, other, other) for other in others]
        tested += [line for other in others for line in lines.references(other, other)]
        trained = [lines.of(TRAINED, other, other) for other in others]
        return {
            f"error_against_{stem}": figures.errors_against(option, ticks, tested, training=trained, runs=seeds),
            f"weight_norm_against_{stem}": figures.norms_against(option, ticks, norms, runs=seeds),
        }
    names = {TRAINED: "training", VALIDATED: "validation", TESTED: "test"}
    if not all(VALIDATED in run.results for g in groups for run in g.finished):
        names.pop(VALIDATED)
    errors = [lines.of(metric, others[0], name) for metric, name in names.items()]
    errors += lines.references(others[0], "test")
    return {f"error_against_{stem}": figures.errors_against(option, ticks, errors, norms, runs=seeds)}


@dataclass(frozen=True)
class Lines:
    """Lines over the values of an option: their points' means and deviations."""

    key: str
    values: Sequence[Any]
    groups: Sequence[Group]

    def of(self, metric: str, other: str, name: str, beside: str | None = None) -> figures.Series:
        """A metric of the groups whose other choices are `other`. name, beside: see `figures.Series`."""
        found = {alike(g.choices[self.key]): g for g in self.groups if label(g, without=self.key) == other}
        some = [found.get(alike(value)) for value in self.values]
        means = [g.mean(metric) if g else math.nan for g in some]
        return figures.Series(name, means, [g.deviation(metric) if g else math.nan for g in some], beside)

    def references(self, other: str, beside: str) -> list[figures.Series]:
        """scikit-learn's line, where there is one."""
        line = self.of(SKLEARN, other, "scikit-learn", beside)
        return [] if all(map(math.isnan, line.mean)) else [line]


def label(g: Group, without: str = "") -> str:
    """ "relu, optim.lr=0.03": values that are words stand for themselves."""
    said = {key: value for key, value in g.choices.items() if key != without}
    return drawable(
        ", ".join(
            shown(value)
            if isinstance(value, str)
            else f"{key}={value:g}"
            if isinstance(value, float)
            else f"{key}={shown(value)}"
            for key, value in said.items()
        )
    )


def drawable(text: str) -> str:
    """A text for a figure, in which what stands between two dollars is no formula."""
    return text.replace("$", r"\$")


def curve(run: Run, metric: str) -> tuple[list[float], list[float]]:
    """Epochs, and the values of a metric in a run's metrics.csv; without those that are not finite."""
    rows = [row for row in read_rows(run.folder) if abs(row.get(metric, math.nan)) < LARGEST]
    return [row["epoch"] for row in rows], [row[metric] for row in rows]
