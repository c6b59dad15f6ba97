"""Batches: gradients by hand, variances by enumeration and by iterating their recursion, and what refuses to run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainlab.errors import InputError
from trainlab.studies.digits import digits_as_seen
from trainlab.studies.minibatch import ball, gradients, study, training


def small_problem(examples=7, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return net, torch.randn(examples, 3).double(), torch.arange(examples) % 3


@pytest.fixture(scope="module")
def problem():
    return small_problem()


def softmax_gradient(weights, bias, x, y):
    """Of the mean cross-entropy of softmax regression, by the formula: (p − onehot) xᵀ, averaged. numpy."""
    scores = x @ weights.T + bias
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return np.concatenate([(p.T @ x / len(y)).ravel(), p.mean(0)])


def test_gradients_are_the_formula_of_softmax_regression():
    torch.manual_seed(1)
    net = nn.Linear(5, 4).double()
    x, y = torch.randn(6, 5).double(), torch.arange(6) % 4
    weights, bias = net.weight.detach().numpy(), net.bias.detach().numpy()
    expected = softmax_gradient(weights, bias, x.numpy(), y.numpy())
    np.testing.assert_allclose(gradients.gradient(net, x, y).numpy(), expected, atol=1e-14)
    each = gradients.per_example_gradients(net, x, y)
    for i in range(6):
        one = softmax_gradient(weights, bias, x[[i]].numpy(), y[[i]].numpy())
        np.testing.assert_allclose(each[i].numpy(), one, atol=1e-14)


@pytest.mark.parametrize("replacement", [False, True])
def test_spread_is_the_formula_over_every_batch(problem, replacement):
    net, inputs, labels = problem
    each = gradients.per_example_gradients(net, inputs, labels).numpy()
    trace = np.square(each - each.mean(0)).sum(1).mean()
    for size in (1, 2, 3):
        numbers = range(len(each))
        every = itertools.product(numbers, repeat=size) if replacement else itertools.combinations(numbers, size)
        by_hand = np.mean([np.square(each[list(b)].mean(0) - each.mean(0)).sum() for b in every])
        share = 1 if replacement else (len(each) - size) / (len(each) - 1)
        assert by_hand == pytest.approx(trace / size * share, rel=1e-12)
        found, expected = gradients.enumerated_spread(net, inputs, labels, size, replacement=replacement)
        assert found == pytest.approx(by_hand, rel=1e-12)
        assert expected == pytest.approx(by_hand, rel=1e-12)


def test_nothing_strays_where_the_batch_is_everything(problem):
    found, expected = gradients.enumerated_spread(*problem, 7, replacement=False)
    assert expected == 0
    assert found < 1e-25
    assert gradients.expected_spread(2.0, 1, 1, replacement=False) == 0


@settings(max_examples=15)
@given(size=st.integers(1, 7), seed=st.integers(0, 1000))
def test_an_epochs_batches_average_to_the_whole_gradient(size, seed):
    assert gradients.epoch_mean_gap(*small_problem(), size, seed) < 1e-13


@settings(max_examples=25)
@given(size=st.integers(1, 9), replacement=st.booleans(), seed=st.integers(0, 1000))
def test_drawn_batches_have_their_size_and_repeat_only_with_replacement(size, replacement, seed):
    generator = torch.Generator().manual_seed(seed)
    shares = gradients.draw(9, size, 20, replacement=replacement, generator=generator)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-12)
    assert replacement or set((shares * size).round().unique().tolist()) <= {0.0, 1.0}
    assert (shares * size - (shares * size).round()).abs().max() < 1e-9


def test_sampled_spread_is_that_of_means_of_rows(problem):
    each = gradients.per_example_gradients(*problem)
    strays = each - each.mean(0)
    shares = gradients.draw(7, 3, 200, replacement=False, generator=torch.Generator().manual_seed(4))
    by_rows = np.mean([np.square((each[row > 0].mean(0) - each.mean(0)).numpy()).sum() for row in shares])
    generator = torch.Generator().manual_seed(4)
    spread = gradients.sampled_spread(strays @ strays.T, 3, replacement=False, generator=generator)
    assert spread.mean == pytest.approx(by_rows, rel=1e-12)


def test_two_batches_are_two_equations_for_the_noise_scale(problem):
    """Their expectations, E‖g_B‖² = ‖g‖² + S/B, solved for S and ‖g‖²; and the estimate comes near."""
    exact = gradients.exact_noise_scale(gradients.per_example_gradients(*problem))
    small, large = (exact.square + exact.trace / size for size in (gradients.SMALL, gradients.LARGE))
    assert (small - large) / (1 / gradients.SMALL - 1 / gradients.LARGE) == pytest.approx(exact.trace)
    each = gradients.per_example_gradients(*problem)
    found = gradients.two_batch_noise_scale(each @ each.T, torch.Generator().manual_seed(0))
    assert abs(found.trace - exact.trace) < 5 * found.trace_error
    assert abs(found.square - exact.square) < 5 * found.square_error


def test_sizes_come_closer_and_closer_to_all():
    assert gradients.sizes_up_to(16) == [1, 2, 4, 8, 12, 14, 15, 16]
    assert gradients.sizes_up_to(1) == [1]


def lyapunov(eta, momentum, curvature, noise):
    """The variance of θ after 2²⁰ steps of v ← γv + η(λθ + ξ), θ ← θ − v, by the covariance of (θ, v). numpy."""
    step = np.array([[1 - eta * curvature, -momentum], [eta * curvature, momentum]])
    kick = np.array([-eta, eta])
    covariance = noise * np.outer(kick, kick)
    for _ in range(20):  # twice as many steps each time
        covariance, step = covariance + step @ covariance @ step.T, step @ step
    return covariance[0, 0]


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.05, 0.9), momentum=st.floats(0, 0.9), curvature=st.floats(0.1, 10), noise=st.floats(0.01, 10))
def test_stationary_variance_is_the_fixed_point_of_its_recursion(share, momentum, curvature, noise):
    eta = share * 2 * (1 + momentum) / curvature
    expected = lyapunov(eta, momentum, curvature, noise)
    assert ball.stationary_variance(eta, momentum, curvature, noise) == pytest.approx(expected, rel=1e-8)


def test_above_the_largest_eta_nothing_comes_to_rest():
    assert ball.stationary_variance(2.0, 0.0, 1.0, 1.0) == np.inf


def test_particles_end_in_the_ball_and_those_of_shuffled_epochs_in_a_smaller_one():
    balls = ball.measure_balls(1000, seed=3)
    assert balls.away < 5
    assert (balls.variance[-1, :3] < 0.95 * balls.expected[-1, :3]).all()


def test_a_wrong_formula_would_be_noticed():
    balls = ball.measure_balls(1000, seed=3)
    without_momentum = balls.expected * np.array([[(1 - k.momentum) / (1 + k.momentum)] for k in balls.kinds])
    wrong = ball.Balls(balls.kinds, balls.variance, balls.error, without_momentum, {}, {})
    assert wrong.away > 5


def task(**changed):
    examples = digits_as_seen()
    inputs, labels = examples.inputs, examples.labels
    return training.Task(inputs[:200], labels[:200], 10, **{"hidden": (16,), "target": 1.0} | changed)


def test_a_descent_is_the_hand_written_loop():
    """Batches of all: θ ← θ − η ∇J, with autograd alone."""
    problem = task(target=0.01)
    descent = training.descend(problem, 200, 0.5, seed=1, most_steps=5)
    torch.manual_seed(1)
    net = problem.network(1)
    for _ in range(5):
        loss = nn.functional.cross_entropy(net(problem.inputs), problem.labels)
        for p, g in zip(net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True):
            p.data -= 0.5 * g
    assert descent.steps is None
    assert descent.curve.shape == (6, 3)
    assert descent.curve[-1, 0] == 5 * 200
    torch.testing.assert_close(list(descent.weights.values()), [p.data for p in net.parameters()])


def test_the_best_eta_takes_no_more_steps_than_its_neighbours():
    cost = training.cost_of(task(), 20, 0.1, seeds=[0, 1])
    for eta in (cost.eta / 2, 2 * cost.eta):
        others = [training.descend(task(), 20, eta, seed, 2 * int(cost.steps.mean())) for seed in (0, 1)]
        assert training.mean_steps(others) >= cost.steps.mean()


def test_a_target_that_is_not_reached_is_a_sentence(monkeypatch):
    monkeypatch.setattr(training, "MOST_STEPS", 20)
    with pytest.raises(InputError, match=r"target=1e-05 is not reached"):
        training.cost_of(task(target=1e-5), 20, 0.1, seeds=[0])


def test_steps_and_examples_of_an_exact_trade_off_are_found():
    sizes = [1, 4, 16, 64, 256]
    costs = [
        training.Cost(b, 0.1, [training.Descent(np.zeros((1, 3)), steps=50 + 2048 // b, weights={})]) for b in sizes
    ]
    assert training.least_steps_and_examples(costs) == pytest.approx((50, 2048), rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_sizes": [0, 4]},
        {"batch_sizes": [4, 5000]},
        {"batch_sizes": []},
        {"runs": 0},
        {"particles": 3},
        {"seed": -1},
        {"target": 0.0},
        {"target": 2.5},
        {"hidden": [0]},
        {"hidden": [5000, 5000]},
    ],
)
def test_wrong_options_are_sentences(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        study(**wrong)


@pytest.mark.run
def test_all_oracles_hold_and_it_is_deterministic():
    small = {"batch_sizes": [16, 256], "runs": 2, "particles": 500, "target": 0.3}
    findings = [study(**small, lang=lang) for lang in ("en", "es")]
    assert len(findings[0].oracles) == 6
    assert all(oracle.holds for finding in findings for oracle in finding.oracles)
    numbers = [{k: v for k, v in f.numbers.items() if "seconds" not in k} for f in findings]
    assert numbers[0] == numbers[1]
    assert findings[0].section.sentences != findings[1].section.sentences
    for make in findings[1].section.figures.values():
        assert make() is not None
