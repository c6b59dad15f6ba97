"""The map of a sweep over two options: what is chosen and drawn, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from scipy.stats import ttest_rel

from trainlab.experiments.two_options import (
    first_least,
    grid_of,
    interval,
    numbers,
    places,
    reference_line,
    sentences,
    slope,
    table,
)
from trainlab.figures.sweeps.heat_map import Map, heat_map
from trainlab.sweeps.drawing import draw
from trainlab.sweeps.report import sections_of
from trainlab.sweeps.table import Run, group

RATES, MOMENTA, SEEDS = [0.1, 0.2, 0.4, 0.8], [0.0, 0.5, 0.75], 3
RANDOM = np.random.default_rng(0)
VALIDATION, TEST = (RANDOM.integers(1, 100, (len(MOMENTA), len(RATES), SEEDS)) / 100 for _ in range(2))


def runs(columns=RATES, across="optim.lr", *, missing=()):
    return [
        Run(
            Path(f"{row}{column}{seed}"),
            "failed" if (row, column, seed) in missing else "finished",
            "",
            {"seed": seed},
            {across: value, "optim.momentum": momentum, "seed": seed},
            {}
            if (row, column, seed) in missing
            else {
                "best/val/top1_error": VALIDATION[row, column, seed],
                "test/top1_error": TEST[row, column, seed],
            },
        )
        for row, momentum in enumerate(MOMENTA)
        for column, value in enumerate(columns)
        for seed in range(SEEDS)
    ]


def test_the_cells_are_means_and_what_is_chosen_has_the_least_validation_error():
    grid = grid_of(group(runs()))
    assert (grid.across, grid.down) == ("optim.lr", "optim.momentum"), "the option with more values lies across"
    np.testing.assert_allclose(grid.mean("test/top1_error"), TEST.mean(2))
    chosen = VALIDATION.mean(2).argmin(1)
    assert grid.chosen == chosen.tolist()
    assert grid.best == np.unravel_index(VALIDATION.mean(2).argmin(), VALIDATION.shape[:2])
    for row in range(len(MOMENTA)):
        assert grid.chosen_by_seed(row) == [RATES[column] for column in VALIDATION[row].argmin(0)]
        assert grid.gain(row) == [], "no learning rate is 0"
    found = numbers(group(runs()))
    for row, momentum in enumerate(MOMENTA):
        errors, name = TEST[row, chosen[row]], f"optim.momentum={momentum:g}"
        assert found[f"chosen/test/top1_error/{name}"] == pytest.approx(errors.mean())
        assert found[f"chosen/test/top1_error_sd/{name}"] == pytest.approx(errors.std(ddof=1))
        assert found[f"chosen/optim.lr/{name}"] == RATES[chosen[row]]
    assert found["chosen/test/top1_error"] == pytest.approx(TEST[grid.best].mean())


def test_what_an_option_gains_is_of_the_same_seeds():
    strengths = [0, *RATES[1:]]
    groups = group(runs(strengths, "reg.l2"))
    grid, chosen = grid_of(groups), VALIDATION.mean(2).argmin(1)
    for row in range(len(MOMENTA)):
        assert grid.gain(row) == pytest.approx(TEST[row, 0] - TEST[row, chosen[row]])
    head, lines = table(grid)
    assert "points below reg.l2=0" in head
    assert [line[1] for line in lines] == [f"{strengths[column]:g}" for column in chosen]


def test_the_interval_of_a_gain_is_that_of_the_paired_t_test():
    without, with_it = TEST[0].ravel(), TEST[1].ravel()
    assert interval(without - with_it) == pytest.approx(tuple(ttest_rel(without, with_it).confidence_interval(0.95)))
    assert np.isnan(interval([0.1])).all()


def test_of_errors_that_tie_the_first_is_chosen():
    tied = np.array([[0.3, 0.1 + 0.2], [0.1 + 0.2, 0.3], [0.4, np.nan]])
    assert first_least(tied).tolist() == [0, 0]


def test_the_slope_of_a_power_law_and_of_anything_else():
    groups = group(runs())
    free = 1 - np.array(MOMENTA)  # 1, 1/2, 1/4
    for g in groups:
        rate, momentum = g.choices["optim.lr"], g.choices["optim.momentum"]
        for run in g.runs:
            run.results["best/val/top1_error"] = abs(np.log(rate / (0.4 * (1 - momentum))))
    assert slope(grid_of(groups)) == pytest.approx((1, 1, 1)), "all seeds choose η = 0.4 (1−γ)"
    assert "slope 1.00 (1.00 to 1.00 in 95 %" in sentences(grid_of(groups))[1]
    value, low, high = slope(grid_of(group(runs())))
    heights = np.log(np.array(RATES)[VALIDATION.mean(2).argmin(1)])
    assert value == pytest.approx(np.polyfit(np.log(free), heights, 1)[0])
    draws = np.random.default_rng(0).integers(0, SEEDS, (2000, SEEDS))
    chosen = np.log(np.array(RATES)[VALIDATION[:, :, draws].mean(3).round(12).argmin(1)])
    assert (low, high) == pytest.approx(tuple(np.percentile(np.polyfit(np.log(free), chosen, 1)[0], (2.5, 97.5))))
    assert slope(grid_of(group(runs([0, *RATES[1:]], "reg.l2", missing={(0, 0, 0)})))) is None


def test_an_incomplete_cell_is_never_chosen():
    row, column = np.unravel_index(VALIDATION.mean(2).argmin(), VALIDATION.shape[:2])
    grid = grid_of(group(runs(missing={(row, column, 1)})))
    others = np.delete(VALIDATION.mean(2)[row], column)
    assert grid.incomplete.sum() == 1
    assert VALIDATION.mean(2)[row, grid.chosen[row]] == others.min()


def test_without_validation_nothing_is_chosen():
    some = runs()
    for run in some:
        run.results.pop("best/val/top1_error")
    grid = grid_of(group(some))
    assert grid.best is None
    assert numbers(group(some)) == {}
    assert sentences(grid) == ["No run has a validation error, by which optim.lr could be chosen."]


def test_other_sweeps_have_no_map():
    assert grid_of(group(runs(["a", "b", "c", "d"], "model"))) is None
    assert grid_of(group([run for run in runs() if run.swept["optim.lr"] < 0.3])) is None, "two values are no line"


def test_a_report_draws_it_by_itself(tmp_path):
    groups = group(runs())
    sections = sections_of(groups)
    assert {path.stem for path in draw(groups, sections, tmp_path)} >= {"map", "error_against_optim_lr"}
    assert sections[-1].rows


def test_the_line_of_one_effective_rate():
    grid = grid_of(group(runs()))
    line, name = reference_line(grid)
    rate = np.median([RATES[column] / (1 - momentum) for column, momentum in zip(grid.chosen, MOMENTA, strict=True)])
    assert name == f"η/(1−γ) = {rate:.3g}"
    for place, momentum in zip(line, MOMENTA, strict=True):  # the rates are 0.1 · 2^place
        wanted = np.log2(rate * (1 - momentum) / 0.1)
        assert place == pytest.approx(wanted) if 0 <= wanted <= 3 else np.isnan(place)


def test_values_lie_between_the_positive_columns():
    np.testing.assert_allclose(places([0.01, 0.1, 0.1**0.5, 2.0], [0, 0.1, 1]), [np.nan, 1, 1.5, np.nan])


def test_the_map_shows_every_error_and_what_is_best(assert_legible, words):
    errors = np.array([[0.021, 0.1, np.nan], [0.5, 0.034, 0.9]])
    incomplete = np.array([[False, True, True], [False, False, False]])
    shown = Map("optim.lr", "reg.l2", ["0.1", "1", "10"], ["0", "1"], errors, incomplete, [0, 1], (0, 0))
    figure = heat_map(shown, "mean test error in % of 3 seeds", "joined: the chosen")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), 100 * errors)
    assert {"2.1", "10*", "–*", "50", "3.4", "90", "optim.lr", "reg.l2", "joined: the chosen"} <= set(words(figure))
    np.testing.assert_allclose(axes.lines[-1].get_xydata(), [[0, 0], [1, 1]])
    (frame,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (frame.get_xy(), frame.get_width()) == ((-0.5, -0.5), 1)
    assert_legible(figure)
