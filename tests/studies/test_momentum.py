"""Momentum: closed forms of the quadratic, bilinear heights, running water, and the optimizer on stacked balls."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.optim import GradientDescent
from trainlab.studies.momentum import check, study
from trainlab.studies.momentum.network import measure_network
from trainlab.studies.momentum.ravine import (
    complex_range,
    measured_bounds,
    one_step,
    spectral_radius,
    steps_to,
    tune,
)
from trainlab.studies.momentum.relief import METRES_PER_DEGREE, Relief, distance, drains_to, load
from trainlab.studies.momentum.rolling import LEFT, PIT, SEA, UNDER_WAY, gradient_off, roll, slow_descent


def by_hand(gamma, eta, curvature, steps):
    """θ_k from (1, at rest), in plain Python: v ← γv + ηλθ, θ ← θ − v."""
    theta, velocity, path = 1.0, 0.0, [1.0]
    for _ in range(steps):
        velocity = gamma * velocity + eta * curvature * theta
        theta -= velocity
        path.append(theta)
    return np.array(path)


def bowl(rows=9, columns=12, depth=-5.0):
    """A pit of 100 m in the middle of land, sea along the western edge."""
    heights = torch.full((rows, columns), 400.0, dtype=torch.float64)
    heights += 30 * torch.arange(columns) + torch.linspace(0, 1, rows, dtype=torch.float64)[:, None]
    heights[rows // 2, columns // 2] = 100.0
    heights[:, 0] = depth
    longitude = torch.linspace(10, 11, columns, dtype=torch.float64)
    return Relief("bowl", heights, longitude, torch.linspace(45, 46, rows, dtype=torch.float64))


def test_the_steps_to_a_millionth_are_those_of_theory():
    slow, fast = tune(20.0), tune(100.0)
    assert (steps_to(slow.gd_errors), slow.gd_predicted) == (139, 139)
    assert (steps_to(fast.gd_errors), fast.gd_predicted) == (691, 691)
    assert (steps_to(fast.errors), fast.predicted, fast.by_rate_alone) == (95, 95, 69)
    assert fast.late_slope == pytest.approx(math.log(9 / 11), rel=0.005)
    np.testing.assert_allclose(fast.errors[:300], np.abs(by_hand(fast.gamma, fast.eta, 100.0, 300))[:300], rtol=1e-6)


@pytest.mark.parametrize(("eta", "gamma"), [(0.9, 1.0), (1.1, 1.0), (1.0, 0.8), (1.0, 1.2)])
def test_no_neighbour_of_the_best_eta_and_gamma_is_faster(eta, gamma):
    best = tune(20.0)
    etas = np.array([eta * best.eta, eta * best.eta * 20])  # ηλ along and across
    assert spectral_radius(gamma * best.gamma, etas).max() > best.rate


@given(gamma=st.floats(0.01, 0.99), share=st.floats(0.05, 0.95))
def test_the_step_has_the_determinant_gamma_and_the_radius_root_gamma(gamma, share):
    low, high = complex_range(gamma)
    etas = np.array([low + share * (high - low)])
    assert np.linalg.det(one_step(gamma, etas)[0]) == pytest.approx(gamma, rel=1e-9)
    assert spectral_radius(gamma, etas)[0] == pytest.approx(math.sqrt(gamma), abs=1e-9)


def test_the_step_is_that_of_the_textbook():
    np.testing.assert_allclose(one_step(0.5, np.array([0.2]))[0], [[1 - 0.2, -0.5], [0.2, 0.5]], atol=1e-15)


def test_divergence_begins_at_the_bound():
    gammas = [0.0, 0.3, 0.9]
    np.testing.assert_allclose(measured_bounds(gammas), [2 * (1 + g) for g in gammas], rtol=1e-3)


@settings(max_examples=30)
@given(u=st.floats(0.02, 0.98), v=st.floats(0.02, 0.98), row=st.integers(0, 7), column=st.integers(0, 10))
def test_height_and_slope_are_those_of_the_four_corners(u, v, row, column):
    land = bowl()
    place = torch.tensor([[land.longitude[column] + u / 11, land.latitude[row] + v / 8]])
    h = land.heights[row : row + 2, column : column + 2].numpy()
    expected = (1 - u) * (1 - v) * h[0, 0] + u * (1 - v) * h[0, 1] + (1 - u) * v * h[1, 0] + u * v * h[1, 1]
    east = ((1 - v) * (h[0, 1] - h[0, 0]) + v * (h[1, 1] - h[1, 0])) * 11
    north = ((1 - u) * (h[1, 0] - h[0, 0]) + u * (h[1, 1] - h[0, 1])) * 8
    height, slope = land.at(place)
    assert height.item() == pytest.approx(expected, abs=1e-8)
    shrunk = math.cos(math.radians(float(place[0, 1])))
    expected_slope = [east / (METRES_PER_DEGREE * shrunk), north / METRES_PER_DEGREE]
    np.testing.assert_allclose(slope[0], expected_slope, atol=1e-9)


def test_the_slope_is_autograds():
    land = load("topobathy")
    places = land.starts(50, 1).requires_grad_()
    height, slope = land.at(places)
    (per_degree,) = torch.autograd.grad(height.sum(), places)
    scale = METRES_PER_DEGREE * torch.stack([torch.cos(torch.deg2rad(places[:, 1])), torch.ones(50)], dim=1)
    torch.testing.assert_close(slope.detach(), (per_degree / scale).detach(), atol=1e-12, rtol=1e-9)
    assert gradient_off(land, places.detach()) < 1e-6


def test_a_degree_of_longitude_is_shorter_in_the_north():
    here = torch.tensor([[0.0, 60.0]], dtype=torch.float64)
    assert distance(here, here + torch.tensor([1.0, 0.0])).item() == pytest.approx(111_195 / 2, rel=1e-3)
    assert distance(here, here + torch.tensor([0.0, 1.0])).item() == pytest.approx(111_195, rel=1e-3)


@pytest.mark.parametrize(("name", "shape"), [("topobathy", (91, 120)), ("jacksboro", (344, 403))])
def test_the_shipped_grids_lie_the_right_way_round(name, shape):
    land = load(name)
    assert land.heights.shape == shape
    assert (land.latitude.diff() > 0).all()
    if name == "topobathy":  # Mount Olympus' northern foothills in the south, the open Pacific in the south-west
        assert land.heights[0, 0] < -1000
    else:
        from matplotlib.cbook import get_sample_data

        first = get_sample_data("jacksboro_fault_dem.npz")["elevation"][0]
        np.testing.assert_array_equal(land.heights[-1], first)  # the file begins in the north


def test_the_pits_are_found():
    pits = bowl().pits
    assert pits.sum() == 1
    assert pits[4, 6]


def test_stacked_balls_roll_as_single_ones_written_by_hand():
    land = bowl()
    starts = land.starts(7, 0)
    rolled = roll(land, starts, [(0.0, 900.0), (0.8, 900.0)], 40)
    for gamma, one in zip((0.0, 0.8), rolled, strict=True):
        for i, start in enumerate(starts):
            place, velocity = start.clone(), torch.zeros(2, dtype=torch.float64)
            walked, climbed = 0.0, 0.0
            for _ in range(40):
                height, slope = land.at(place[None])
                scale = METRES_PER_DEGREE * torch.tensor([math.cos(math.radians(place[1])), 1.0])
                velocity = gamma * velocity + 900.0 * slope[0] / scale
                place = place - velocity
                after = land.at(place[None])[0]
                walked += float((velocity * scale).norm())
                climbed += max(0.0, float(after - height))
                on_map = 10 <= place[0] <= 11 and 45 <= place[1] <= 46
                if after <= 0 or not on_map:
                    assert one.fate[i] == (SEA if on_map else LEFT)
                    break
            else:
                assert one.fate[i] in (PIT, UNDER_WAY)
            np.testing.assert_allclose(one.ends[i], place, atol=1e-10)
            assert one.length[i] == pytest.approx(walked)
            assert one.climbed[i] == pytest.approx(climbed, abs=1e-6)


def test_without_momentum_it_is_gradient_descent():
    land = bowl()
    starts = land.starts(5, 3)
    ball = torch.nn.Parameter(starts.clone())
    optimizer = GradientDescent([ball], lr=300.0)
    for _ in range(10):
        shrunk = torch.stack([torch.cos(torch.deg2rad(ball.detach()[:, 1])), torch.ones(5)], dim=1)
        ball.grad = land.at(ball.detach())[1] / shrunk / METRES_PER_DEGREE
        optimizer.step()
    inside = roll(land, starts, [(0.0, 300.0)], 10)[0]
    still = inside.fate != LEFT
    np.testing.assert_allclose(inside.ends[still], ball.detach().numpy()[still], atol=1e-12)


def test_water_runs_into_the_pit_or_the_sea():
    land = bowl()
    middle = torch.tensor([[land.longitude[6] + 0.01, land.latitude[4] - 0.01]])
    coast = torch.tensor([[land.longitude[1] - 0.01, land.latitude[2]]])
    ends, sure = drains_to(land, torch.cat([middle, coast]))
    np.testing.assert_allclose(ends[0], [land.longitude[6], land.latitude[4]])
    assert land.at(ends)[0][1] <= 0
    assert sure[0]


@pytest.mark.run  # some seconds
def test_a_slow_descent_ends_where_water_does():
    land = load("topobathy")
    elsewhere, in_all, compared = slow_descent(land, land.starts(120, 7))
    assert elsewhere <= 0.05
    assert in_all <= 0.15
    assert compared > 20


@pytest.mark.run  # some seconds
def test_all_oracles_hold():
    finding = study(kappas=[20.0, 100.0], gammas=[0.9, 0.0], starts=60)
    assert len(finding.oracles) == 8
    assert all(oracle.holds for oracle in finding.oracles), finding.oracles
    assert [row[0] for row in finding.section.rows] == ["0", "0.9", "0"]
    assert finding.numbers["momentum_steps/kappa=100"] == 95


@pytest.mark.run  # some seconds
def test_momentum_on_the_mlp_is_torchs():
    curves, apart = measure_network(1)
    assert apart < 1e-9
    assert curves[1].losses[:, -1].mean() < curves[0].losses[:, -1].mean()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kappas": [1.0]}, "kappas has 1;"),
        ({"kappas": [20.0, 1e9]}, r"kappas has 1e\+09"),
        ({"kappas": []}, "kappas has 0 numbers"),
        ({"gammas": [0.0, 1.0]}, "gammas has 1;"),
        ({"gammas": [0.0, -0.1]}, "gammas has -0.1"),
        ({"gammas": []}, "gammas has 0"),
        ({"gammas": [0.9, 0.9]}, "gammas has 1 different"),
        ({"starts": 0}, "starts=0"),
        ({"eta": 0.0}, "eta=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_options_are_sentences(wrong, sentence):
    right = {"kappas": [20.0], "gammas": [0.0, 0.9], "starts": 10, "eta": 500.0, "seed": 0}
    with pytest.raises(InputError, match=sentence):
        check(**(right | wrong))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"depth": np.zeros((4, 4))}, "no array of heights"),
        ({"height": np.zeros(4)}, "has the shape"),
        ({"height": np.zeros((4, 5))}, "needs the arrays longitude"),
        ({"height": np.zeros((4, 5)), "longitude": np.arange(4), "latitude": np.arange(4)}, "do not fit"),
        ({"height": np.full((4, 5), np.nan), "longitude": np.arange(5), "latitude": np.arange(4)}, "finite"),
        ({"height": np.ones((4, 5)), "longitude": np.arange(5), "latitude": np.arange(4) + 88}, "between −90 and 90"),
        ({"height": np.array([[None] * 4] * 4)}, "cannot be read"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path, arrays, sentence):
    np.savez(tmp_path / "land.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        load(str(tmp_path / "land.npz"))


def test_no_file_and_no_land_are_sentences(tmp_path):
    with pytest.raises(InputError, match=r"use topobathy, jacksboro or a FILE\.npz"):
        load("everest")
    (tmp_path / "land.npz").write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="cannot be read"):
        load(str(tmp_path / "land.npz"))
    axes = {"longitude": np.arange(5.0), "latitude": np.arange(4.0)[::-1]}
    np.savez(tmp_path / "sea.npz", height=-np.ones((4, 5)), **axes)
    with pytest.raises(InputError, match="has no land"):
        load(str(tmp_path / "sea.npz")).starts(3, 0)
