"""The sigmoid perceptron's gradient: the lecture's sum written out, torch.func, and the time until a unit is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.studies.sigmoid_gradient import (
    compare,
    complex_step_gradient,
    cross_entropy,
    half_square,
    lectures_gradient,
    recover,
    sigmoid,
    study,
    ten_digits,
    time_of_cross_entropy,
    time_of_half_square,
)


def random_problem(seed, examples, inputs, units, scale):
    random = np.random.default_rng(seed)
    x, t = random.uniform(-1, 1, (examples, inputs)), random.integers(0, 2, (examples, units)).astype(float)
    return x, t, scale * random.standard_normal((units, inputs)), scale * random.standard_normal(units)


def test_all_oracles_hold_and_the_gradient_dies_with_large_weights():
    finding = study(examples=60, start=-4, lr=0.5)
    assert [o.name for o in finding.oracles] == [
        "autograd",
        "complex_step",
        "half_mse",
        "largest_by_z",
        "steps_to_right",
    ]
    assert all(oracle.holds for oracle in finding.oracles)
    numbers = finding.numbers
    assert numbers["gradient/weights=10"] < 0.1 * numbers["gradient/weights=0.01"]
    assert numbers["gradient_cross_entropy/weights=10"] > numbers["gradient_cross_entropy/weights=0.01"]
    lines = finding.section.figures["wrong_and_sure"]().axes[0].lines[:2]
    for line, loss in zip(lines, ("half_square", "cross_entropy"), strict=True):
        steps, outputs = line.get_data()
        assert steps[np.argmax(outputs > 0.5)] == numbers[f"steps_to_right/{loss}"]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    examples=st.integers(1, 5),
    inputs=st.integers(1, 4),
    units=st.integers(1, 3),
    scale=st.floats(0.01, 20),
)
def test_the_formula_is_the_lectures_sum_and_torchs_derivative(seed, examples, inputs, units, scale):
    x, t, w, b = random_problem(seed, examples, inputs, units, scale)
    by_weights, by_biases = lectures_gradient(x, t, w, b)
    for k in range(units):
        for i in range(inputs):
            total = 0.0
            for d in range(examples):
                o = 1 / (1 + math.exp(-(sum(w[k, j] * x[d, j] for j in range(inputs)) + b[k])))
                total -= (t[d, k] - o) * o * (1 - o) * x[d, i]
            assert by_weights[k, i] == pytest.approx(total, rel=1e-9, abs=1e-12)

    def loss(weights, biases):
        return ((torch.from_numpy(t) - (torch.from_numpy(x) @ weights.T + biases).sigmoid()) ** 2).sum() / 2

    theirs = torch.func.grad(loss, argnums=(0, 1))(torch.from_numpy(w), torch.from_numpy(b))
    np.testing.assert_allclose(by_weights, theirs[0].numpy(), atol=1e-12)
    np.testing.assert_allclose(by_biases, theirs[1].numpy(), atol=1e-12)
    np.testing.assert_allclose(complex_step_gradient(x, t, w, b), by_weights, atol=1e-12)


def test_an_oracle_can_fail():
    inputs, targets = ten_digits(20)
    _, _, weights, biases = random_problem(0, 1, 64, 10, 0.1)
    right = compare(inputs, targets, weights, biases, 0.1)
    assert right.autograd < 1e-12
    wrong, _ = lectures_gradient(inputs, targets, weights + 1e-5, biases)
    assert np.abs(wrong - lectures_gradient(inputs, targets, weights, biases)[0]).max() > 1e-6


def test_the_sigmoid_has_no_overflow():
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("time_of", "speed"),
    [(time_of_half_square, lambda o: o * (1 - o) ** 2), (time_of_cross_entropy, lambda o: 1 - o)],
)
def test_the_time_until_it_is_right_is_the_integral(time_of, speed):
    z = np.linspace(-6, 0, 200_001)
    integrand = 1 / speed(1 / (1 + np.exp(-z)))
    trapezoids = (integrand[1:] + integrand[:-1]) / 2 * np.diff(z)
    assert time_of(-6) == pytest.approx(trapezoids.sum(), rel=1e-6)


def test_descent_takes_that_time_with_small_steps():
    starts = np.array([-3.0, -1.0])
    for loss, time_of, bend in (
        (half_square, time_of_half_square, 1 / 16),
        (cross_entropy, time_of_cross_entropy, 1 / 4),
    ):
        time = np.array([time_of(z) for z in starts])
        found = recover(loss, time, bend, starts, 0.05)
        np.testing.assert_allclose(found.steps * 0.1, time, rtol=0.08)
        assert found.excess <= 1
        assert recover(loss, 1.2 * time, bend, starts, 0.05).excess > 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"examples": 0}, "examples=0"),
        ({"examples": 2000}, "1797"),
        ({"scales": []}, "scales="),
        ({"scales": [0.1, -1.0]}, "scales has -1"),
        ({"lr": 0.0}, "lr=0"),
        ({"lr": 2.0}, "lr=2"),
        ({"start": 1.0}, "start=1"),
        ({"start": -20.0}, "start at -11.8 or above"),
        ({"start": -1e9}, "start="),
        ({"seed": -1}, "seed=-1"),
        ({"lang": "fr"}, "lang=fr"),
    ],
)
def test_wrong_options_are_sentences(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        study(**wrong)
