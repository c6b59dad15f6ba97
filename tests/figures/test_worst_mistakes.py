from __future__ import annotations

import numpy as np
import pytest
import torch

from trainlab.figures.mistakes import worst_mistakes


def mistakes(count, channels=1, size=8, name="Ankle boot"):
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, channels, size, size)
    true = [f"{name} {i}" for i in range(count)]
    predicted = [f"{name} {i + 50}" for i in range(count)]
    confidence = [((7 * i) % max(count, 1) + 1) / (count + 1) for i in range(count)]
    return images, true, predicted, confidence


def panels(figure):
    return [axes for axes in figure.axes if axes.get_images()]


def test_the_most_confident_come_first_each_with_its_own_image_and_names():
    images, true, predicted, confidence = mistakes(15)
    drawn = panels(worst_mistakes(images, true, predicted, confidence))
    assert len(drawn) == 12
    expected = sorted(range(15), key=lambda i: -confidence[i])[:12]
    for axes, index in zip(drawn, expected, strict=True):
        assert (axes.get_images()[0].get_array() == index).all()
        assert [text.get_text() for text in axes.texts] == [
            f"{predicted[index]} ({100 * confidence[index]:.0f} %)",
            f"truly {true[index]}",
        ]


@pytest.mark.parametrize(("count", "grid"), [(1, 1), (3, 3), (4, 4), (5, 8), (12, 12), (40, 12)])
def test_the_grid_is_as_large_as_needed(count, grid):
    figure = worst_mistakes(*mistakes(count))
    assert len(figure.axes) == grid
    assert len(panels(figure)) == min(count, 12)
    assert not any(axes.axison for axes in figure.axes)


def test_without_mistakes_the_figure_says_so(words):
    figure = worst_mistakes(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), [], [], [], "Test set")
    assert set(words(figure)) == {"Test set", "No mistakes"}


def test_colour_images_keep_their_colours_and_grey_is_not_stretched():
    image = torch.randint(0, 256, (1, 3, 6, 6), dtype=torch.uint8)
    drawn = worst_mistakes(image, ["a"], ["b"], [0.9]).axes[0].get_images()[0]
    np.testing.assert_array_equal(drawn.get_array(), image[0].permute(1, 2, 0))
    grey = worst_mistakes(*mistakes(1)).axes[0].get_images()[0]
    assert grey.get_clim() == (0, 255)


@pytest.mark.parametrize(("size", "how"), [(8, "nearest"), (64, "nearest"), (224, "antialiased")])
def test_small_images_show_their_pixels(size, how):
    image = worst_mistakes(*mistakes(1, size=size)).axes[0].get_images()[0]
    assert image.get_interpolation() == how


def test_numbers_that_do_not_fit_are_refused():
    images, true, predicted, confidence = mistakes(3)
    with pytest.raises(AssertionError, match="differ in number"):
        worst_mistakes(images, true[:2], predicted, confidence)


@pytest.mark.run  # a third of a second each
@pytest.mark.parametrize("name", ["great white shark, man-eater", "W" * 30, "7"])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_nothing_overlaps_or_is_cut_off(count, name, assert_legible):
    title = "The worst mistakes on the test set of Fashion-MNIST"
    assert_legible(worst_mistakes(*mistakes(count, name=name), title))
