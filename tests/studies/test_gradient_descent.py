"""Gradient descent on a parabola: least squares, the sharp bound on η, and the contraction of each step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.studies.gradient_descent import descend, points, study


def by_hand(inputs, targets, eta, start, steps):
    """w ← w − η · Xᵀ(Xw − y)/n, in numpy."""
    w = np.array(start)
    for _ in range(steps):
        w = w - eta * inputs.T @ (inputs @ w - targets) / len(targets)
    return w


def test_all_oracles_hold():
    finding = study()
    assert {oracle.name for oracle in finding.oracles} == {"closed_form", "largest_eta", "contraction"}
    assert all(oracle.holds for oracle in finding.oracles)


@settings(max_examples=20)
@given(eta=st.floats(0.01, 1.2), seed=st.integers(0, 1000), steps=st.integers(2, 30))
def test_a_path_is_the_hand_written_loop(eta, seed, steps):
    inputs, targets = points(12, 0.5, seed)
    path = descend(inputs, targets, eta, (-1.0, 2.0), steps)
    np.testing.assert_allclose(path.weights[-1], by_hand(inputs, targets, eta, (-1.0, 2.0), steps), rtol=1e-9)
    assert path.loss[0] == pytest.approx(np.square(inputs @ [-1.0, 2.0] - targets).mean() / 2)


def test_below_the_bound_it_ends_at_least_squares_and_above_it_does_not_end():
    inputs, targets = points(30, 0.3, 0)
    bound = 2 / np.linalg.eigvalsh(inputs.T @ inputs / 30)[-1]
    solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    below, above = (descend(inputs, targets, share * bound, (-2.0, 3.0), 3000) for share in (0.99, 1.01))
    np.testing.assert_allclose(below.weights[-1], solution, atol=1e-9)
    assert np.abs(above.weights[-1] - solution).max() > 1e6


@pytest.mark.parametrize(
    "wrong", [{"etas": [0.1, -1.0]}, {"etas": []}, {"examples": 1}, {"steps": 0}, {"start": [1.0]}, {"seed": -1}]
)
def test_wrong_options_are_sentences(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        study(**wrong)
