"""Sweeps on points of the plane: the grid of decision regions, scikit-learn's networks beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from trainlab.configuration.build import build
from trainlab.configuration.schema import check
from trainlab.errors import InputError
from trainlab.experiments.scikit_learn import data_of, reference
from trainlab.figures.sweeps.regions import Panel, grid_of_regions
from trainlab.recording.run_figures import GRID, grid_extent, plane_points
from trainlab.recording.section import Section, Series
from trainlab.survival import checkpoint
from trainlab.survival.trained import network_of
from trainlab.sweeps.names import clean, shown
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SEED, Run, has_regions, place_of

MOST_PANELS = 40  # in a row or a column
MOST_COLUMNS, SHOWN_COLUMNS = 8, 5  # beside each other in one figure, and how many are shown where there are more


@dataclass(frozen=True)
class Grid:
    """Panels of decision regions, all of one seed.

    panels: a row for each of `rows`, a column for each of `columns`, which are the values as they are written; None
    where there is no such run.
    """

    panels: list[list[Panel | None]]
    rows: list[str]
    columns: list[str]
    seed: str

    @property
    def note(self) -> str:
        """The sentence below the figure: what the points and lines are."""
        return (
            "solid points: training, translucent: test, whose error is at the lower right; dashed: scikit-learn "
            f"(seed {self.seed})"
        )


def section(runs: Sequence[Run], rows: str, columns: str) -> Section:
    """The grid of decision regions, a row for each value of option `rows` and a column for each of `columns`; and a
    figure for each of the columns.
    """

    @cache  # a panel trains scikit-learn's network
    def grid() -> Grid | None:
        return grid_of(runs, rows, columns)

    values = [_short(value) for value in values_of(runs, columns)]
    series = {clean(columns): Series(symbol_of(columns), values, lambda: column_each(grid()))}
    return Section(
        "decision regions",
        figures={"decision_regions": lambda: whole(grid())},
        series=series if 1 < len(values) <= MOST_PANELS else {},
    )


def whole(grid: Grid | None) -> Figure | None:
    """The figure of all panels; None where no run has one, or where there would be more than anybody can look at."""
    if grid is None:
        return None
    places, note = evenly_spaced(len(grid.columns)), grid.note
    if len(places) < len(grid.columns):
        note += f"; {len(places)} of {len(grid.columns)} values, evenly spaced"
    panels = [[row[place] for place in places] for row in grid.panels]
    return grid_of_regions(panels, grid.rows, [grid.columns[place] for place in places], note=note)


def evenly_spaced(count: int) -> list[int]:
    """The places of the columns that a figure shows: all, or SHOWN_COLUMNS of them from the first to the last."""
    if count <= MOST_COLUMNS:
        return list(range(count))
    return [round(place * (count - 1) / (SHOWN_COLUMNS - 1)) for place in range(SHOWN_COLUMNS)]


def column_each(grid: Grid | None) -> Iterator[Figure]:
    """A figure for each column, its panels beside each other."""
    for place, name in enumerate(grid.columns if grid else []):
        assert grid is not None
        yield grid_of_regions([[row[place] for row in grid.panels]], [""], grid.rows, title=name, note=grid.note)


def chosen(run: Run, key: str) -> Any:
    """The value that a run has for an option or for a group's choice ("reg.l2", "data")."""
    return run.swept.get(key, run.config.get(key, run.config.get(f"{key}.name")))


def values_of(runs: Sequence[Run], key: str) -> list[Any]:
    """The values that the runs have for an option, each once, in ascending order."""
    return sorted({alike(chosen(run, key)): chosen(run, key) for run in runs}.values(), key=place_of)


def grid_of(runs: Sequence[Run], rows: str, columns: str) -> Grid | None:
    """The panels of the runs with the lowest seed; None as for `whole`. rows, columns: options."""
    names = [list({alike(chosen(run, rows)): chosen(run, rows) for run in runs}.values()), values_of(runs, columns)]
    if max(map(len, names)) > MOST_PANELS:
        return None
    seed = min((run.config.get(SEED) for run in runs), key=place_of)
    found = {
        (alike(chosen(run, rows)), alike(chosen(run, columns))): run
        for run in runs
        if alike(run.config.get(SEED)) == alike(seed)
    }
    panels = [[_panel(found.get((alike(row), alike(column)))) for column in names[1]] for row in names[0]]
    if not any(panel for row in panels for panel in row):
        return None
    return Grid(
        panels,
        [shown(name).replace("$", r"\$") for name in names[0]],
        [f"{symbol_of(columns)} = {_short(name)}".replace("$", r"\$") for name in names[1]],
        shown(seed),
    )


def symbol_of(option: str) -> str:
    """How an option is written above a column: λ for reg.l2, else its name."""
    return "λ" if option == "reg.l2" else option


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)


def _panel(run: Run | None) -> Panel | None:
    if run is None or not has_regions(run):
        return None
    try:
        saved = checkpoint.read(str(run.folder), prefer="best")
        config, net = saved.config, network_of(saved, str(run.folder)).eval()
        check(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
        data = data_of(config)
    except InputError:
        return None
    train, test = data.sets.train, data.sets.test
    extent = grid_extent(data.sets)
    points = plane_points(extent)
    with torch.no_grad():
        ours = build("loss", config.loss).predict(net(points))[:, 1].view(GRID, GRID).clamp(0, 1)
    other = reference(config, data)
    theirs: np.ndarray | None = None
    if other is not None:
        theirs = other.predict_proba(points.numpy())[:, 1].reshape(GRID, GRID)
    note = f"{100 * run.results['test/top1_error']:.0f} %" if "test/top1_error" in run.results else ""
    return Panel(ours, extent, train.all_images, train.labels, test.all_images, test.labels, note, theirs)
