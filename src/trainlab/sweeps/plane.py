"""Sweeps on points of the plane: the grid of decision regions, and scikit-learn's networks beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from trainlab import checkpoint
from trainlab.build import build, build_data
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.figures.regions import Panel, grid_of_regions
from trainlab.figures.run import GRID, grid_extent, plane_points
from trainlab.stored import options_of
from trainlab.sweeps.table import SEED, Run
from trainlab.trained import network_of

ITERATIONS = 2000  # of L-BFGS, as in scikit-learn's example
MOST_POINTS = 10_000  # beyond that scikit-learn's network takes longer than ours


def has_regions(run: Run) -> bool:
    return run.config.get("data.name") in ("moons", "circles", "linear") and bool(run.results)


def reference(run: Run) -> Any | None:
    """scikit-learn's MLPClassifier with the same layers, activation, λ, points and seed, trained.

    None where the run has no such counterpart: another network, dropout, or L2 in the mean form.
    """
    saved = saved_by(run)
    cfg = saved.config
    activations = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}
    network_of(saved, str(run.folder))  # raises InputError for layers that are not those of its weights
    same = cfg.model.name == "mlp" and cfg.loss.name == "cross_entropy" and not cfg.reg.dropout
    if not same or (cfg.reg.l2 and cfg.reg.form != "sum") or not cfg.model.hidden:
        return None
    train = data_of(run).sets.train
    if len(train) > MOST_POINTS:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier(
        tuple(cfg.model.hidden),
        activation=activations[cfg.model.activation],
        solver="lbfgs",
        alpha=float(cfg.reg.l2),
        max_iter=ITERATIONS,
        random_state=int(cfg.seed),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(train.everything.numpy(), train.labels.numpy())


def reference_error(run: Run) -> float | None:
    """Its test error, a fraction."""
    try:
        net = reference(run)
        test = data_of(run).sets.test
    except InputError:  # its checkpoint is damaged, or its data are not there
        return None
    if net is None:
        return None
    return 1 - float(net.score(test.everything.numpy(), test.labels.numpy()))


def data_of(run: Run) -> ImageData:
    with options_of(str(run.folder)):
        data = build_data(saved_by(run).config, may_fetch=False)
    data.setup()
    return data


def saved_by(run: Run) -> checkpoint.Saved:
    """Its best checkpoint. Raises InputError."""
    return checkpoint.read(str(run.folder), prefer="best")


def figure(runs: Sequence[Run], rows: str, columns: str) -> Figure:
    """A row for each value of option `rows`, a column for each of `columns`; of the runs with the lowest seed."""
    names = [list(dict.fromkeys(run.swept[key] for run in runs)) for key in (rows, columns)]
    if all(isinstance(name, int | float) for name in names[1]):
        names[1].sort()
    seed = min(run.config[SEED] for run in runs)
    chosen = {(run.swept[rows], run.swept[columns]): run for run in runs if run.config[SEED] == seed}
    panels = [[_panel(chosen.get((row, column))) for column in names[1]] for row in names[0]]
    symbol = "λ" if columns == "reg.l2" else columns
    return grid_of_regions(
        panels,
        [str(name) for name in names[0]],
        [f"{symbol} = {name:g}" if isinstance(name, int | float) else f"{symbol} = {name}" for name in names[1]],
        note="solid points: training, translucent: test, whose error is at the lower right; dashed: scikit-learn "
        f"(seed {seed})",
    )


def _panel(run: Run | None) -> Panel | None:
    if run is None or not has_regions(run):
        return None
    try:
        saved = saved_by(run)
        net, data = network_of(saved, str(run.folder)).eval(), data_of(run)
    except InputError:
        return None
    train, test = data.sets.train, data.sets.test
    extent = grid_extent(data.sets)
    points = plane_points(extent)
    with torch.no_grad():
        ours = build("loss", saved.config.loss).scores(net(points))[:, 1].view(GRID, GRID).clamp(0, 1)
    other = reference(run)
    theirs: np.ndarray | None = None
    if other is not None:
        theirs = other.predict_proba(points.numpy())[:, 1].reshape(GRID, GRID)
    note = f"{100 * run.results['test/top1_error']:.0f} %"
    return Panel(ours, extent, train.everything, train.labels, test.everything, test.labels, note, theirs)
