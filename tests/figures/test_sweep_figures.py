"""Figures of sweeps: what is drawn is what the numbers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.contour import ContourSet
from matplotlib.image import AxesImage

from trainlab.figures.sweeps.lines import Series, curves_of, errors_against, mean_curve, scale_of
from trainlab.figures.sweeps.regions import Panel, grid_of_regions

STRENGTHS = [0.01, 0.1, 1.0]
TEST = Series("test", [0.2, 0.1, 0.3], [0.02, 0.01, math.nan])
TRAIN = Series("training", [0.0, 0.05, 0.25], [0.0, 0.01, 0.02])
NORM = Series("", [30.0, 20.0, 5.0], [1.0, 2.0, 0.5])


def test_errors_are_drawn_in_percent_with_a_band_of_one_deviation(assert_legible, words):
    figure = errors_against("reg.l2", STRENGTHS, [TRAIN, TEST], [NORM], runs=5)
    left, right = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in left.lines}
    np.testing.assert_allclose(lines["test"], [20, 10, 30])
    np.testing.assert_allclose(lines["training"], [0, 5, 25])
    band = left.collections[1].get_paths()[0].vertices
    for place, (mean, deviation) in enumerate([(20, 2), (10, 1), (30, 0)]):
        heights = band[np.isclose(band[:, 0], place), 1]
        assert heights.min() == pytest.approx(mean - deviation)
        assert heights.max() == pytest.approx(mean + deviation)
    np.testing.assert_allclose(right.lines[0].get_ydata(), NORM.mean)
    assert left.get_ylim()[0] == 0, "an error's axis begins at zero"
    assert [label.get_text() for label in left.get_xticklabels()] == ["0.01", "0.1", "1"]
    assert "mean ± standard deviation of 5 seeds" in words(figure)
    assert_legible(figure)


def test_a_strength_without_a_finished_run_leaves_a_gap():
    gap = Series("test", [0.2, math.nan, 0.3], [0.02, math.nan, 0.01])
    drawn = errors_against("reg.l2", STRENGTHS, [gap], []).axes[0].lines[0].get_ydata()
    assert np.isnan(drawn).tolist() == [False, True, False]


def test_many_numbers_have_an_axis_of_their_own(assert_legible):
    strengths = np.geomspace(0.1, 10, 25).tolist()
    ours = [Series(name, [0.1] * 25, [0.01] * 25) for name in ("moons", "circles")]
    theirs = [Series("scikit-learn", [0.2] * 25, [0.02] * 25, beside=one.name) for one in ours]
    figure = errors_against("reg.l2", strengths, [*ours, *theirs], training=ours, runs=20)
    tested, trained = figure.axes
    np.testing.assert_allclose(tested.lines[0].get_xdata(), strengths)
    assert tested.get_xscale() == "log"
    assert tested.get_ylim() == trained.get_ylim()
    dashed = [line for line in tested.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert [line.get_color() for line in dashed] == [line.get_color() for line in tested.lines[:2]]
    assert [text.get_text() for text in tested.get_legend().get_texts()] == ["moons", "circles", "scikit-learn"]
    assert {"0.1", "0.5", "1", "10"} <= {label.get_text() for label in tested.get_xticklabels()}
    assert trained.get_ylabel() == "training error in %"
    assert_legible(figure)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.1, 1, 10], "even"),
        (list(range(1, 30)), "linear"),
        ([0.0, *np.geomspace(0.1, 10, 12)], "even"),
        ([str(value) for value in range(12)], "even"),
    ],
)
def test_numbers_lie_as_they_are_spaced(values, scale, assert_legible):
    assert scale_of(values) == scale
    assert_legible(errors_against("x", values, [Series("test", [0.1] * len(values), [0.0] * len(values))]))


def test_curves_are_the_means_of_their_runs(assert_legible, words):
    relu = [([1.0, 2.0, 3.0], [0.6, 0.4, 0.2]), ([1.0, 2.0], [0.8, 0.2])]
    tanh = [([1.0, 2.0, 3.0, 4.0], [0.9, 0.7, 0.5, 0.24])]
    figure = curves_of("training error", {"relu": relu, "tanh": tanh}, target=0.25, ordered=False)
    axes = figure.axes[0]
    named = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    np.testing.assert_allclose(named["relu"].get_xdata(), [1, 2])
    np.testing.assert_allclose(named["relu"].get_ydata(), np.mean([[60, 40], [80, 20]], axis=0))
    np.testing.assert_allclose(named["tanh"].get_ydata(), [90, 70, 50, 24])
    assert any(set(line.get_ydata()) == {25.0} for line in axes.lines), "the target"
    assert "25 %" in words(figure)
    assert_legible(figure)


def test_the_mean_curve_goes_as_far_as_all_runs_do():
    assert mean_curve([]) == ([], [])
    assert mean_curve([([1, 2, 3], [1, 2, 3]), ([2, 3, 4], [4, 5, 6])]) == ([2, 3], [3, 4])


def panel(slope: float, reference: np.ndarray | None = None) -> Panel:
    x = torch.linspace(-1, 1, 21)
    probability = torch.sigmoid(slope * x + (0 if slope else 3)).expand(21, 21)
    points, labels = torch.tensor([[-0.5, 0.0], [0.5, 0.1]]), torch.tensor([0, 1])
    return Panel(probability, (-1, 1, -1, 1), points, labels, points, labels, "5 %", reference)


def test_a_panel_for_each_set_and_strength(assert_legible, words):
    upright = torch.sigmoid(4 * torch.linspace(-1, 1, 21)).numpy()[:, None].repeat(21, axis=1)
    rows = [[panel(4.0), panel(4.0, upright)], [panel(0.0), None]]
    figure = grid_of_regions(rows, ["moons", "circles"], ["λ = 0.1", "λ = 1"], note="dashed: scikit-learn")
    assert len(figure.axes) == 4
    boundaries = [sum(isinstance(c, ContourSet) for c in axes.collections) for axes in figure.axes]
    assert boundaries == [1, 2, 0, 0], "ours, ours and the reference's, none where one class has it all, missing"
    line = next(c for c in figure.axes[0].collections if isinstance(c, ContourSet))
    assert np.abs(line.get_paths()[0].vertices[:, 0]).max() < 0.01, "the boundary is where the probability is 1/2"
    drawn = next(found for found in figure.axes[0].get_children() if isinstance(found, AxesImage))
    np.testing.assert_allclose(drawn.get_array(), rows[0][0].probability)
    assert {"moons", "circles", "λ = 0.1", "λ = 1", "missing", "dashed: scikit-learn"} <= set(words(figure))
    assert_legible(figure)
