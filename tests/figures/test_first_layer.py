from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.figures.filters import first_layer


def images(figure):
    return figure.axes[0].get_images()


def drawn_rgba(image):
    """What matplotlib makes of an image's values, float (h, w, 3) in [0, 1]."""
    return image.to_rgba(image.get_array())[..., :3]


def test_zero_is_mid_grey_and_the_scale_is_symmetric():
    weights = torch.zeros(3, 3, 2, 2)
    weights[1, 0, 0, 0], weights[1, 1, 0, 1] = 4.0, -2.0
    zeros, kernel, _ = (image.get_array() for image in images(first_layer(weights, None)))
    assert (zeros == 0.5).all()
    np.testing.assert_array_equal(kernel[0, 0], [1.0, 0.5, 0.5])
    np.testing.assert_array_equal(kernel[0, 1], [0.5, 0.25, 0.5])
    assert (kernel[1] == 0.5).all()


def test_kernels_of_one_channel_are_grey():
    weights = torch.tensor([0.0, 0.5, -1.0, 0.0]).view(1, 1, 2, 2)
    (image,) = images(first_layer(weights, None))
    np.testing.assert_array_equal(image.get_array(), [[0.0, 0.5], [-1.0, 0.0]])
    colours = drawn_rgba(image)
    np.testing.assert_allclose(colours[0, 0], 0.5, atol=0.005)
    np.testing.assert_allclose(colours[0, 1], 0.75, atol=0.005)
    np.testing.assert_allclose(colours[1, 0], 0.0)


def test_dense_weights_of_one_channel_are_white_at_zero_red_above_and_blue_below():
    weights = torch.tensor([[0.0, 2.0, -2.0, 0.0, 1.0, 0.0]])
    (image,) = images(first_layer(weights, (1, 2, 3)))
    np.testing.assert_array_equal(image.get_array(), weights.view(2, 3))
    colours = drawn_rgba(image)
    assert (colours[0, 0] == 1).all()
    assert colours[0, 1, 0] > colours[0, 1, 2], "positive is vermillion"
    assert colours[0, 2, 0] < colours[0, 2, 2], "negative is blue"


def test_dense_weights_of_three_channels_become_rgb_images():
    weights = torch.randn(4, 3 * 5 * 6)
    figure = first_layer(weights, (3, 5, 6))
    assert [image.get_array().shape for image in images(figure)] == [(5, 6, 3)] * 4
    largest = weights[2].abs().max()
    expected = (0.5 + 0.5 * weights[2].view(3, 5, 6) / largest).permute(1, 2, 0)
    np.testing.assert_allclose(images(figure)[2].get_array(), expected, rtol=1e-5)


def test_of_other_numbers_of_channels_the_mean_is_drawn(words):
    weights = torch.randn(5, 8, 3, 3)
    figure = first_layer(weights, None, "Second layer")
    np.testing.assert_allclose(images(figure)[4].get_array(), weights[4].mean(0), rtol=1e-5, atol=1e-6)
    assert "Second layer (mean of 8 channels)" in words(figure)


def test_points_have_no_picture():
    assert first_layer(torch.randn(16, 2), None) is None


def test_at_most_256_kernels_are_drawn_and_the_title_says_so():
    figure = first_layer(torch.randn(300, 1, 3, 3), None, "First layer")
    assert len(images(figure)) == 256
    assert figure.get_suptitle() == "First layer (256 of 300 kernels)"
    assert first_layer(torch.randn(256, 1, 3, 3), None, "First layer").get_suptitle() == "First layer"


def test_kernels_lie_in_reading_order_side_by_side():
    corners = [image.get_extent() for image in images(first_layer(torch.randn(96, 3, 11, 11), None))]
    tops = sorted({top for _, _, _, top in corners}, reverse=True)
    assert len(tops) == 8, "96 kernels are 8 rows of 12"
    places = [(-top, left) for left, _, _, top in corners]
    assert places == sorted(places)
    assert len(set(places)) == 96


def test_labels_stand_above_their_image():
    names = [str(i) for i in range(10)]
    axes = first_layer(torch.randn(10, 64), (1, 8, 8), "Digits", labels=names).axes[0]
    assert [text.get_text() for text in axes.texts] == names
    for text, image in zip(axes.texts, axes.get_images(), strict=True):
        left, right, _, top = image.get_extent()
        x, y = text.get_position()
        assert left < x < right
        assert top <= y < top + 0.1


def test_a_kernel_that_is_not_finite_leaves_its_place_empty():
    weights = torch.randn(6, 3, 4, 4)
    whole = [image.get_extent() for image in images(first_layer(weights, None))]
    weights[2, 0, 0, 0] = torch.nan
    assert [image.get_extent() for image in images(first_layer(weights, None))] == whole[:2] + whole[3:]


def test_a_parameter_in_half_precision_is_fine():
    weights = torch.nn.Parameter(torch.randn(2, 3, 4, 4, dtype=torch.bfloat16))
    assert len(images(first_layer(weights, None))) == 2


@pytest.mark.parametrize(
    ("weights", "shape", "labels"),
    [
        (torch.randn(1, 3, 11, 11), None, None),
        (torch.randn(10, 64), (1, 8, 8), ["a name that is much too long"] * 10),
        (torch.randn(37, 3072), (3, 32, 32), [f"class {i}" for i in range(37)]),
        (torch.randn(1000, 64), (1, 8, 8), ["no room"] * 1000),
    ],
)
def test_nothing_overlaps_or_is_cut_off(weights, shape, labels, assert_legible):
    assert_legible(first_layer(weights, shape, "Perceptron on digits", labels))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_every_kernel_is_drawn_once_undistorted_and_apart(count, channels, height, width):
    figure = first_layer(torch.randn(count, channels, height, width), None)
    axes = figure.axes[0]
    extents = [image.get_extent() for image in images(figure)]
    assert len(extents) == count
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    for index, (left, right, bottom, top) in enumerate(extents):
        assert (top - bottom) / (right - left) == pytest.approx(height / width)
        assert x0 < left
        assert right < x1
        assert y0 < bottom
        assert top < y1
        for l2, r2, b2, t2 in extents[:index]:
            assert right < l2 or r2 < left or top < b2 or t2 < bottom


def test_the_kernels_of_two_towers_are_apart(assert_legible):
    """Krizhevsky et al. 2012, Fig. 3: 48 above, 48 below."""
    figure = first_layer(torch.randn(96, 3, 11, 11), (3, 224, 224), "AlexNet", towers=2)
    extents = [image.get_extent() for image in figure.axes[0].images]
    assert len(extents) == 96
    upper, lower = extents[:48], extents[48:]
    between = min(e[2] for e in upper) - max(e[3] for e in lower)
    assert between > 0.5, "more than between two kernels"
    assert [e[0] for e in upper] == [e[0] for e in lower]
    assert_legible(figure)
