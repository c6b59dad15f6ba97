"""The figure of a growing set: its numbers, and that it can be read."""

from trainlab.figures.growth import growth


def test_growth_is_drawn(assert_legible, words):
    figure = growth([1000, 10_000], [900.0, 910.0], [6.0, 6.1], [1.0, 10.0])
    assert [axes.lines[0].get_ydata().tolist() for axes in figure.axes] == [[0.9, 0.91], [6.0, 6.1], [1.0, 10.0]]
    assert {"packed pictures", "1k", "10k"} <= set(words(figure))
    assert not any("$" in word for word in words(figure))
    assert_legible(figure)
