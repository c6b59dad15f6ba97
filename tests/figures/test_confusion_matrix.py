from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from trainlab.figures.confusion import confusion_matrix
from trainlab.figures.style import BLUE, PALE, VERMILLION

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def image(figure):
    return figure.axes[0].get_images()[0].get_array()


def random_counts(classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 30, (classes, classes), generator=generator)
    return counts + torch.diag(torch.full((classes,), 1000))


def test_colours_are_shares_of_the_row():
    counts = torch.tensor([[0, 5, 0], [9, 27, 0], [0, 0, 0]])
    drawn = image(confusion_matrix(counts, ["a", "b", "c"]))
    white = np.ones(3)
    np.testing.assert_allclose(drawn[0, 1], to_rgb(VERMILLION), err_msg="always mistaken")
    np.testing.assert_allclose(drawn[0, 0], white)
    np.testing.assert_allclose(drawn[1, 1], 1 - np.sqrt(0.75) * (1 - np.array(to_rgb(BLUE))))
    np.testing.assert_allclose(drawn[1, 0], 1 - np.sqrt(0.25) * (1 - np.array(to_rgb(VERMILLION))))
    np.testing.assert_allclose(drawn[2], [to_rgb(PALE)] * 3, err_msg="a class without examples")


def test_rows_are_the_truth_and_every_count_is_in_its_cell():
    counts = torch.tensor([[480, 12], [0, 1132]])
    axes = confusion_matrix(counts, ["functional", "defective"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert (cells[0, 0], cells[1, 0], cells[1, 1]) == ("480", "12", "1,132")
    assert (0, 1) not in cells, "an empty cell stays empty"
    assert axes.get_ylim() == (1.5, -0.5), "the first row is on top"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["functional", "defective"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["functional", "defective"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "truth")


def test_the_title_has_the_overall_error_and_each_row_its_own(words):
    counts = torch.tensor([[480, 20, 0], [0, 1100, 0], [0, 0, 0]])
    figure = confusion_matrix(counts, ["a", "b", "c"], "ELPV")
    assert figure.get_suptitle() == "ELPV: error 1.2 % (20 of 1,600)"
    assert {"4.0 %", "0 %", "–"} <= set(words(figure))
    assert confusion_matrix(counts, ["a", "b", "c"]).get_suptitle() == "Error 1.2 % (20 of 1,600)"
    assert confusion_matrix(0 * counts, ["a", "b", "c"], "Empty").get_suptitle() == "Empty: no examples"


@pytest.mark.parametrize(("classes", "numbered"), [(20, True), (21, False)])
def test_numbers_up_to_twenty_classes(classes, numbered):
    axes = confusion_matrix(torch.ones(classes, classes, dtype=torch.int64), ["x"] * classes).axes[0]
    assert ("1" in {text.get_text() for text in axes.texts}) == numbered


def test_of_many_classes_some_are_named_at_their_place_and_neighbours_share_a_cell():
    counts = torch.zeros(250, 250, dtype=torch.int64)
    counts[0, 0], counts[1, 2], counts[2, 249] = 1, 2, 1  # three classes to a cell, so two stay in their group
    figure = confusion_matrix(counts, [f"class {i}" for i in range(250)])
    axes = figure.axes[0]
    assert 10 <= len(axes.get_yticks()) <= 20
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert label.get_text() == f"class {place}"
    drawn = image(figure)
    assert drawn.shape == (84, 84, 3)
    assert axes.get_images()[0].get_extent() == [-0.5, 251.5, 251.5, -0.5], "in units of one class"
    np.testing.assert_allclose(drawn[0, 0], 1 - np.sqrt(0.75) * (1 - np.array(to_rgb(BLUE))))
    np.testing.assert_allclose(drawn[0, 83], 1 - np.sqrt(0.25) * (1 - np.array(to_rgb(VERMILLION))))
    assert "3 × 3" in axes.get_xlabel()
    assert "75.0 %" in figure.get_suptitle(), "the error is of classes, not of groups"


def test_long_names_are_shortened_and_dollars_are_not_maths(words):
    names = ["$5 or $10", "great white shark, white shark, man-eater"]
    seen = words(confusion_matrix(torch.eye(2, dtype=torch.int64), names))
    assert seen.count("$5 or $10") == 2
    assert seen.count("great white shark,…") == 2


@pytest.mark.run  # half a second each
@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 100, 1000])
def test_nothing_overlaps_or_is_cut_off(classes, assert_legible):
    names = FASHION if classes == 10 else [f"{i} a name that is quite long" for i in range(classes)]
    assert_legible(confusion_matrix(random_counts(classes), names, "Fashion-MNIST"))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AssertionError, match="3 classes"):
        confusion_matrix(torch.eye(2, dtype=torch.int64), ["a", "b", "c"])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 130), st.integers(0, 2**16))
def test_colours_are_valid_for_any_number_of_classes(classes, seed):
    drawn = image(confusion_matrix(random_counts(classes, seed), [str(i) for i in range(classes)]))
    assert drawn.shape[2] == 3
    assert drawn.min() >= 0
    assert drawn.max() <= 1
