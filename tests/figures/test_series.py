"""The figures that a slider goes through: one for each value, all with the same axes, and each with its own content."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from trainlab.experiments import decision_regions
from trainlab.figures.studies.approximation import one_steepness_each, one_width_each
from trainlab.figures.studies.dropout_ensemble import one_count_each
from trainlab.figures.studies.gradient_descent import one_path_each
from trainlab.figures.studies.minibatch import one_size_each
from trainlab.figures.style import save_series
from trainlab.figures.sweeps.regions import Panel
from trainlab.recording.section import Series, speaker
from trainlab.sweeps.table import Run

SAY = speaker("es")
X = np.linspace(0, 1, 50)
RANDOM = np.random.default_rng(0)


def paths():
    some = [(eta, RANDOM.normal(size=(9, 2)), np.exp(-eta * np.arange(9.0))) for eta in (0.1, 0.5, 1.02)]
    return one_path_each(some, np.diag([1.0, 3.0]), np.zeros(2), 0.001, SAY)


def sizes():
    curves = [
        (size, 0.1, np.column_stack([np.arange(1, 9) * size] * 2 + [1 / np.arange(1.0, 9)])) for size in (1, 8, 64)
    ]
    clouds = {size: RANDOM.normal(size=(200, 2)) / size**0.5 for size, _, _ in curves}
    return one_size_each(curves, clouds, 0.5, 64, 0.1, SAY)


def counts():
    averages = {count: 0.1 + RANDOM.normal(size=(2, 40)) / count for count in (1, 10, 100)}
    return one_count_each(averages, (0.1, 0.3), SAY)


def steepness():
    return one_steepness_each(X, {w: (w * X, X, X / w) for w in (1, 10, 100)}, SAY)


def widths():
    return one_width_each(X, X**2, {n: (np.round(n * X**2) / n, X**2 + 1 / n) for n in (2, 10, 100)}, SAY)


@pytest.mark.parametrize("draw", [paths, sizes, counts, steepness, widths])
def test_the_axes_stay_where_they_are_and_the_content_changes(draw):
    places, limits, pictures = [], [], []
    for figure in draw():
        picture = io.BytesIO()
        figure.savefig(picture, dpi=40)
        pictures.append(picture.getvalue())
        places.append([ax.get_position().bounds for ax in figure.axes])
        limits.append([(*ax.get_xlim(), *ax.get_ylim()) for ax in figure.axes])
    assert len(pictures) == len(set(pictures)) == 3
    np.testing.assert_allclose(places, [places[0]] * 3, atol=1e-4)  # a tenth of a pixel
    np.testing.assert_allclose(limits, [limits[0]] * 3)


def test_a_series_is_written_as_it_is_listed(tmp_path):
    def draw():
        for shade in (0.2, 0.8):
            figure = Figure(figsize=(1, 1))
            figure.add_axes((0, 0, 1, 1)).imshow([[shade]], cmap="gray", vmin=0, vmax=1)
            yield figure

    (listed,) = save_series({"eta": Series("η", ["1", "2"], draw)}, tmp_path / "figures", "a command")
    assert (listed["name"], listed["symbol"], listed["values"]) == ("eta", "η", ["1", "2"])
    shades = []
    for name in listed["figures"]:
        with Image.open(tmp_path / name) as picture:
            shades.append(picture.convert("L").getpixel((50, 50)))
    assert shades == pytest.approx([51, 204], abs=1)


def test_where_there_is_nothing_to_draw_nothing_is_listed(tmp_path):
    (listed,) = save_series({"eta": Series("η", ["1", "2"], lambda: iter(()))}, tmp_path)
    assert listed["values"] == listed["figures"] == []


def test_the_strengths_of_a_sweep_are_a_series_whose_panels_are_computed_once(monkeypatch):
    computed = []

    def panel(run):
        computed.append(run.swept)
        half = torch.full((5, 5), run.swept["reg.l2"])
        points = torch.zeros(2, 2)
        return Panel(half, (0, 1, 0, 1), points, torch.tensor([0, 1]), points, torch.tensor([0, 1]), "5 %")

    monkeypatch.setattr(decision_regions, "_panel", panel)
    points = [{"data": data, "reg.l2": l2} for data in ("moons", "circles") for l2 in (1.0, 0.1, 0.32)]
    runs = [Run(Path(), "finished", "", {"seed": 0}, point, {"a": 1}) for point in points]
    section = decision_regions.section(runs, "data", "reg.l2")
    whole = section.figures["decision_regions"]()
    series = section.series["reg.l2"]
    assert (series.symbol, series.values) == ("λ", ["0.1", "0.32", "1"])
    titles = [[ax.get_title() for ax in figure.axes] for figure in series.draw()]
    assert titles == [["moons", "circles"]] * 3
    assert [ax.get_title() for ax in whole.axes[:3]] == ["λ = 0.1", "λ = 0.32", "λ = 1"]
    assert len(computed) == len(points)


def test_of_more_columns_than_fit_a_figure_five_are_shown():
    assert decision_regions.evenly_spaced(8) == list(range(8))
    assert decision_regions.evenly_spaced(25) == [0, 6, 12, 18, 24]
    dot = torch.zeros(1, 2)
    panel = Panel(torch.zeros(3, 3), (0, 1, 0, 1), dot, torch.tensor([0]), dot, torch.tensor([0]), "")
    names = [f"λ = {number}" for number in range(25)]
    figure = decision_regions.whole(decision_regions.Grid([[panel] * 25], ["moons"], names, "0"))
    assert [ax.get_title() for ax in figure.axes] == names[::6]
    assert figure.get_supxlabel().endswith("5 of 25 values, evenly spaced")
