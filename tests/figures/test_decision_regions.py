from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet

from trainlab.figures.points import decision_regions
from trainlab.figures.style import BLUE, VERMILLION

EXTENT = (-2.0, 3.0, -1.0, 1.5)
TRAIN = torch.tensor([[0.0, 0.1], [1.0, 0.2], [2.0, -0.3]])
TRAIN_LABELS = torch.tensor([0, 1, 1])
TEST = torch.tensor([[0.5, 0.5], [-1.0, -0.5]])
TEST_LABELS = torch.tensor([1, 0])


def halves(size=51):
    """The probability is above 1/2 where x > 0.5, which is the middle of the extent."""
    x = torch.linspace(EXTENT[0], EXTENT[1], size)
    return torch.sigmoid(4 * (x - 0.5)).expand(size, size)


def draw(probability=None, train=TRAIN, train_labels=TRAIN_LABELS, title=""):
    grid = halves() if probability is None else probability
    return decision_regions(grid, EXTENT, train, train_labels, TEST, TEST_LABELS, title)


def points(axes):
    return {found.get_label(): found for found in axes.collections if isinstance(found, PathCollection)}


def contours(axes):
    return [found for found in axes.collections if isinstance(found, ContourSet)]


def test_the_grid_is_drawn_upright_with_its_values_at_their_points():
    axes = draw().axes[0]
    image = axes.get_images()[0]
    np.testing.assert_allclose(image.get_array(), halves())
    assert image.origin == "lower"
    # 51 values over 5 and over 2.5 units: half a step is 0.05 and 0.025.
    np.testing.assert_allclose(image.get_extent(), [-2.05, 3.05, -1.025, 1.525])
    assert image.get_clim() == (0, 1)
    assert axes.get_xlim() == (-2, 3)
    assert axes.get_ylim() == (-1, 1.5)


def test_the_boundary_is_where_the_probability_is_one_half():
    (boundary,) = contours(draw().axes[0])
    (path,) = boundary.get_paths()
    np.testing.assert_allclose(path.vertices[:, 0], 0.5, atol=1e-6)
    assert sorted(path.vertices[[0, -1], 1]) == [-1, 1.5]


def test_a_boundary_that_depends_on_y_is_not_transposed():
    y = torch.linspace(EXTENT[2], EXTENT[3], 51)
    (boundary,) = contours(draw(torch.sigmoid(4 * y)[:, None].expand(51, 51)).axes[0])
    np.testing.assert_allclose(boundary.get_paths()[0].vertices[:, 1], 0, atol=1e-3)


def test_a_net_that_knows_one_class_has_no_boundary(recwarn):
    assert not contours(draw(torch.full((9, 9), 0.9)).axes[0])
    assert not recwarn.list


def test_points_have_the_colour_of_their_class_and_test_points_are_translucent():
    found = points(draw().axes[0])
    np.testing.assert_allclose(found["train 0"].get_offsets(), TRAIN[:1])
    np.testing.assert_allclose(found["train 1"].get_offsets(), TRAIN[1:])
    np.testing.assert_allclose(found["test 0"].get_offsets(), TEST[1:])
    np.testing.assert_allclose(found["test 1"].get_offsets(), TEST[:1])
    for name, collection in found.items():
        colour = collection.get_facecolor()[0]
        np.testing.assert_allclose(colour[:3], to_rgb(VERMILLION if name.endswith("1") else BLUE))
        assert (colour[3] == 1) == name.startswith("train")


def test_there_may_be_no_points():
    found = points(draw(train=TRAIN[:0], train_labels=TRAIN_LABELS[:0]).axes[0])
    assert len(found["train 0"].get_offsets()) == len(found["train 1"].get_offsets()) == 0
    assert len(found["test 1"].get_offsets()) == 1


def test_the_figure_names_the_classes_and_the_two_kinds_of_points(words):
    seen = words(draw(title="Two moons"))
    assert {"Two moons", "class 0", "class 1", "solid: training points, translucent: test points"} <= set(seen)


@pytest.mark.parametrize("extent", [EXTENT, (-1, 1, -1, 1), (0, 1, 0, 5), (0, 10, 0, 1)])
def test_nothing_overlaps_or_is_cut_off(extent, assert_legible):
    figure = decision_regions(halves(), extent, TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, "Two moons")
    assert_legible(figure)
