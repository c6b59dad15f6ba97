from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.figures.curves import learning_curves


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def decaying(epochs, val=True):
    rows = []
    for epoch in range(epochs):
        fall = math.exp(-4 * epoch / max(epochs, 10))
        row = {"epoch": epoch, "train/loss": 2.3 * fall + 0.3, "train/top1_error": 0.7 * fall}
        if val:
            rise = 0.1 * epoch / epochs
            row |= {"val/loss": 2.3 * fall + 0.4 + rise, "val/top1_error": 0.7 * fall + 0.1 + rise}
        rows.append(row)
    return rows


def test_the_curves_are_the_numbers_of_the_rows():
    rows = decaying(40)
    loss, error = learning_curves(rows).axes
    for name, short in (("train", "train"), ("validation", "val")):
        assert list(lines(loss)[name].get_xdata()) == list(range(40))
        assert list(lines(loss)[name].get_ydata()) == [row[f"{short}/loss"] for row in rows]
        np.testing.assert_allclose(lines(error)[name].get_ydata(), [100 * row[f"{short}/top1_error"] for row in rows])


def test_the_ring_is_at_the_first_lowest_validation_error_in_both_panels(words):
    errors, losses = [0.4, 0.2, 0.0731, 0.0731, 0.1], [5.0, 4.0, 3.0, 1.0, 2.0]
    rows = [{"epoch": 10 + i, "val/top1_error": errors[i], "val/loss": losses[i], "train/loss": 1.0} for i in range(5)]
    figure = learning_curves(rows)
    loss, error = figure.axes
    assert lines(error)["best"].get_xydata().tolist() == [[12, pytest.approx(7.31)]]
    assert lines(loss)["best"].get_xydata().tolist() == [[12, 3.0]]
    assert "○ best: 7.3 %, epoch 12" in words(figure)


def test_without_errors_the_lowest_validation_loss_is_marked(words):
    rows = [{"epoch": i, "val/loss": value} for i, value in enumerate([3.0, math.nan, 1.0, 2.0])]
    figure = learning_curves(rows)
    loss, error = figure.axes
    assert lines(loss)["best"].get_xydata().tolist() == [[2, 1.0]]
    assert not error.get_lines()
    assert {"○ best: epoch 2", "not recorded"} <= set(words(figure))


def test_without_validation_there_is_one_labelled_curve_and_no_ring(words):
    figure = learning_curves(decaying(12, val=False))
    assert [set(lines(axes)) for axes in figure.axes] == [{"train"}, {"train"}]
    assert words(figure).count("train") == 2
    assert not any("best" in word or word == "validation" for word in words(figure))


def test_epochs_without_validation_are_bridged():
    rows = [{"epoch": i, "train/loss": 1.0, "val/loss": 2.0 if i % 5 == 0 else math.nan} for i in range(11)]
    loss = learning_curves(rows).axes[0]
    assert list(lines(loss)["validation"].get_xdata()) == [0, 5, 10]


def test_rows_without_epoch_count_from_one():
    loss = learning_curves([{"train/loss": 1.0}, {"train/loss": 0.5}]).axes[0]
    assert list(lines(loss)["train"].get_xdata()) == [1, 2]


@pytest.mark.parametrize(("last", "scale"), [(0.04, "linear"), (0.03, "log"), (0.0, "linear"), (-1.0, "linear")])
def test_the_loss_is_logarithmic_where_it_spans_more_than_a_decade_and_a_half(last, scale):
    figure = learning_curves([{"train/loss": 1.0}, {"train/loss": last}])
    loss = figure.axes[0]
    assert loss.get_yscale() == scale
    assert ("log scale" in loss.get_title(loc="left")) == (scale == "log")


def test_a_run_that_diverged_says_since_when(words):
    rows = [{"epoch": i, "train/loss": value} for i, value in enumerate([1.0, 1e9, math.inf, math.nan])]
    figure = learning_curves(rows)
    assert list(lines(figure.axes[0])["train"].get_xdata()) == [0, 1]
    assert "not finite from epoch 2" in words(figure)
    assert "not finite from epoch 0" in words(learning_curves([{"epoch": 0, "train/loss": math.nan}]))
    assert not any("finite" in word for word in words(learning_curves(decaying(5))))


@pytest.mark.parametrize("epochs", [1, 2, 30, 31, 10_000])
def test_markers_for_few_epochs_only(epochs):
    loss = learning_curves(decaying(epochs)).axes[0]
    marker = lines(loss)["train"].get_marker()
    assert marker == ("o" if epochs <= 30 else "None")


def test_one_epoch_stands_in_the_middle():
    for axes in learning_curves(decaying(1)).axes:
        assert axes.get_xlim() == (-0.5, 0.5)


@pytest.mark.parametrize("epochs", [0, 1, 2, 3, 12, 300, 10_000])
def test_nothing_overlaps_or_is_cut_off(epochs, assert_legible):
    assert_legible(learning_curves(decaying(epochs), "A title that is long enough for two lines, " * 2))


value = st.one_of(st.floats(0, 1), st.just(math.nan))
keys = ("train/loss", "val/loss", "train/top1_error", "val/top1_error")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(keys), value), max_size=8))
def test_any_rows_give_two_panels_with_every_finite_value_inside(rows):
    figure = learning_curves(rows)
    assert len(figure.axes) == 2
    for axes, key, scale in zip(figure.axes, ("loss", "top1_error"), (1, 100), strict=True):
        for short, name in (("train", "train"), ("val", "validation")):
            finite = [scale * r[f"{short}/{key}"] for r in rows if math.isfinite(r.get(f"{short}/{key}", math.nan))]
            drawn = lines(axes).get(name)
            assert (list(drawn.get_ydata()) if drawn else []) == finite
            low, high = axes.get_ylim()
            assert all(low <= v <= high for v in finite)
