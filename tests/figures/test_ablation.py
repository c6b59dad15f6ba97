"""The table of the ablation: differences seed by seed against numpy, with what was published beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from trainlab.experiments.ablation import cells, is_ablation, rows_of
from trainlab.figures.sweeps.ablation import worth
from trainlab.sweeps.table import Run, group

ONE_VIEW = "one view, not ten"
WHOLE = {0: (0.30, 0.33), 1: (0.32, 0.34), 2: (0.28, 0.32)}  # by seed: ten crops, one view
LRN = {0: (0.33, 0.35), 1: (0.33, 0.35)}


def run(ablation: str, seed: int, errors: tuple[float, float] | None, **said: str | list[float]) -> Run:
    config = {"seed": seed, "ablation.name": ablation} | {f"ablation.{k}": v for k, v in said.items()}
    results = {}
    if errors:
        results = {"test/top1_error_tencrop": errors[0], "test/top1_error": errors[1], "seed": seed}
        results |= {"test/top5_error_tencrop": errors[0] / 10, "test/top5_error": errors[1] / 10}
    state = "finished" if errors else "failed"
    return Run(Path("."), state, "", config, {"ablation": ablation, "seed": seed}, results)


@pytest.fixture
def rows():
    runs = [run("none", seed, errors) for seed, errors in WHOLE.items()]
    runs += [run("lrn", seed, LRN.get(seed), change="no LRN", paper=[1.4, 1.2], logs=[1.37, 1.15]) for seed in range(3)]
    groups = group(runs)
    assert is_ablation(groups)
    return {row.change: row for row in rows_of(groups)}


def test_differences_are_of_the_same_seeds(rows):
    expected = [100 * (LRN[seed][0] - WHOLE[seed][0]) for seed in LRN]
    assert rows["no LRN"].worth[0] == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert rows["no LRN"].n == 2
    assert rows["no LRN"].unfinished == "1 failed"


def test_ten_crops_are_a_row_of_the_whole_recipes_own_runs(rows):
    expected = [100 * (one - ten) for ten, one in WHOLE.values()]
    assert rows[ONE_VIEW].worth[0] == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert rows[ONE_VIEW].top1[0] == pytest.approx(np.mean([one for _, one in WHOLE.values()]))


def test_where_mirrored_views_are_left_out_there_are_five():
    whole = run("none", 0, (0.30, 0.33))
    whole.results["views"] = 5
    assert [row.change for row in rows_of(group([whole]))] == ["none", "one view, not five"]


def test_what_people_read(rows):
    head, lines = cells(list(rows.values()))
    assert head[:5] == ["change", "top-1 error", "top-5 error", "top-1 points", "top-5 points"]
    assert lines[0][:2] == ["none", "30.00 ± 2.00 %"]
    by_name = {line[0]: line for line in lines}
    assert by_name["no LRN"][3:7] == ["+2.00 ± 1.41", "+0.20 ± 0.14", "+1.4 / +1.2", "+1.37 / +1.15"]


def test_a_sweep_of_something_else_is_no_ablation():
    assert not is_ablation(group([run("lrn", 0, (0.3, 0.3))])), "without the whole recipe nothing can be compared"
    other = Run(Path("."), "finished", "", {"seed": 0}, {"reg.l2": 0.1, "seed": 0}, {"seed": 0})
    assert not is_ablation(group([other]))


def test_runs_of_another_command_join_the_table():
    """ablation=lrn typed as such, not swept: its options differ from the rest, and the ablation stands for them."""
    typed = run("lrn", 0, (0.35, 0.36), change="no LRN")
    swept = run("none", 0, (0.30, 0.33))
    for one, value in ((typed, False), (swept, True)):
        one.config["model.lrn"] = value
    del typed.swept["ablation"]
    groups = group([swept, typed])
    assert is_ablation(groups)
    assert [row.change for row in rows_of(groups)] == ["none", "no LRN", ONE_VIEW]


def test_the_figure_has_a_bar_for_each_and_the_papers_marks(assert_legible, words):
    figure = worth(["no LRN", "no dropout"], [1.2, -0.4], [0.3, math.nan], [1.4, math.nan], runs=3)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [1.2, -0.4]
    marks = [line for line in axes.lines if line.get_marker() == "D"]
    assert marks[0].get_xdata() == [1.4]
    assert {"no LRN", "no dropout", "paper, ImageNet"} <= set(words(figure))
    assert_legible(figure)
