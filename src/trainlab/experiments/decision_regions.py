"""Sweeps on points of the plane: the grid of decision regions, and scikit-learn's networks beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from trainlab.configuration.build import build
from trainlab.configuration.schema import check
from trainlab.configuration.stored import options_of
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.figures.regions import Panel, grid_of_regions
from trainlab.recording.run_figures import GRID, grid_extent, plane_points
from trainlab.recording.section import Section, Series
from trainlab.runtime.assembly import read_data
from trainlab.survival import checkpoint
from trainlab.survival.trained import network_of
from trainlab.sweeps.names import clean, shown
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SEED, Run, has_regions, place_of

ITERATIONS = 2000  # of L-BFGS, as in scikit-learn's example
MOST_POINTS = 10_000  # beyond that scikit-learn's network takes longer than ours
MOST_PANELS = 40  # in a row or a column


def reference(config: DictConfig, data: ImageData) -> Any | None:
    """scikit-learn's MLPClassifier with the same layers, activation, λ, points and seed, trained.

    config: of the run, out of its checkpoint. None where the run has no such counterpart: another network, dropout, or
    L2 in the mean form.
    """
    activations = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}
    model, reg = config.model, config.reg
    if len(data.sets.train) > MOST_POINTS:
        return None
    same = model.name == "mlp" and config.loss.name == "cross_entropy" and not reg.dropout
    if not same or (reg.l2 and reg.form != "sum") or not model.hidden:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier(
        tuple(model.hidden),
        activation=activations[model.activation],
        solver="lbfgs",
        alpha=float(reg.l2),
        max_iter=ITERATIONS,
        random_state=config[SEED],
    )
    train = data.sets.train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(train.all_images.numpy(), train.labels.numpy())


def reference_error(run: Run) -> float | None:
    """The test error of scikit-learn's network beside a run, a fraction; None where there is no such network."""
    if not has_regions(run):
        return None
    try:
        config = config_of(run)
        data = data_of(config)
    except InputError:  # a run without its checkpoint keeps its place in the table
        return None
    net = reference(config, data)
    if net is None:
        return None
    test = data.sets.test
    return 1 - float(net.score(test.all_images.numpy(), test.labels.numpy()))


def data_of(config: DictConfig) -> ImageData:
    """The data of a run, read but never fetched. Raises InputError where they are not there."""
    with options_of("a checkpoint"):
        return read_data(config, may_fetch=False)


def config_of(run: Run) -> DictConfig:
    """The configuration in a run's checkpoint. Raises InputError, also for layers that are not those of its weights."""
    saved = checkpoint.read(str(run.folder), prefer="best")
    network_of(saved, str(run.folder))
    check(OmegaConf.to_container(saved.config, resolve=True))  # type: ignore[arg-type]
    return saved.config


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
    return None if grid is None else grid_of_regions(grid.panels, grid.rows, grid.columns, note=grid.note)


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
        config = config_of(run)
        data = data_of(config)
        saved = checkpoint.read(str(run.folder), prefer="best")
        net = network_of(saved, str(run.folder)).eval()
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
