"""Momentum under a changing step size against v ← γ v + η g, θ ← θ − v written out in numpy."""

import io
import math

import numpy as np
import pytest
import torch

from trainlab.models.perceptron import Perceptron
from trainlab.optim import Momentum, make_optimizer

STEPS, GAMMA, DECAY = 50, 0.9, 0.05

RATES = {
    "constant": [0.1] * STEPS,
    "cosine": [0.05 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)],
    "drops": [0.1 / 10 ** (step // 15) for step in range(STEPS)],
    "rising": [0.01 * 1.05**step for step in range(STEPS)],
}


@pytest.fixture
def net() -> Perceptron:
    torch.manual_seed(0)
    return Perceptron((4,), 3, init="xavier").double()


def gradients() -> list[tuple[np.ndarray, np.ndarray]]:
    """Of the weights and of the biases, for each step."""
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(3, 4)), rng.normal(size=3)) for _ in range(STEPS)]


def by_hand(net: Perceptron, rates: list[float]) -> list[np.ndarray]:
    thetas = [p.detach().numpy().copy() for p in net.parameters()]
    velocities = [np.zeros_like(theta) for theta in thetas]
    for rate, pair in zip(rates, gradients(), strict=True):
        for i, (gradient, decay) in enumerate(zip(pair, (DECAY, 0.0), strict=True)):
            velocities[i] = GAMMA * velocities[i] + rate * (gradient + decay * thetas[i])
            thetas[i] = thetas[i] - velocities[i]
    return thetas


def run(net: Perceptron, optimizer: torch.optim.Optimizer, rates: list[float], first: int = 0) -> list[np.ndarray]:
    for step in range(first, first + len(rates)):
        for p, gradient in zip(net.parameters(), gradients()[step], strict=True):
            p.grad = torch.from_numpy(gradient.copy())
        for group in optimizer.param_groups:
            group["lr"] = rates[step - first]
        optimizer.step()
    return [p.detach().numpy() for p in net.parameters()]


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
def test_momentum_is_the_lectures(net, rates):
    expected = by_hand(net, rates)
    found = run(net, make_optimizer(net, Momentum, lr=rates[0], momentum=GAMMA, weight_decay=DECAY), rates)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("name", ["cosine", "drops", "rising"])
def test_torchs_sgd_is_another_update(net, name):
    expected = by_hand(net, RATES[name])
    weight, bias = net.parameters()
    groups = [{"params": [weight], "weight_decay": DECAY}, {"params": [bias]}]
    found = run(net, torch.optim.SGD(groups, lr=RATES[name][0], momentum=GAMMA), RATES[name])
    assert not np.allclose(found[0], expected[0], rtol=1e-3)


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
@pytest.mark.parametrize("half", [15, 25])  # 15: the step size drops between saving and the next step
def test_a_run_continues_from_a_saved_state(net, rates, half):
    expected = by_hand(net, rates)
    first = make_optimizer(net, Momentum, lr=rates[0], momentum=GAMMA, weight_decay=DECAY)
    run(net, first, rates[:half])
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    other = Perceptron((4,), 3).double()
    second = make_optimizer(other, Momentum, lr=7.0, momentum=0.1)
    other.load_state_dict(saved["net"])
    second.load_state_dict(saved["optimizer"])
    for ours, theirs in zip(run(other, second, rates[half:], first=half), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
def test_the_state_of_an_older_run_is_taken_over(net, rates):
    """It is torch's, which holds v/η, and the η of the last step."""
    expected = by_hand(net, rates)
    optimizer = make_optimizer(net, Momentum, lr=rates[0], momentum=GAMMA, weight_decay=DECAY)
    run(net, optimizer, rates[:25])
    saved = optimizer.state_dict()
    for state in saved["state"].values():
        state["momentum_buffer"] = state.pop("velocity") / rates[24]
    for group in saved["param_groups"]:
        group["last_lr"] = rates[24]
    other = make_optimizer(net, Momentum, lr=7.0, momentum=0.1)
    other.load_state_dict(saved)
    for ours, theirs in zip(run(net, other, rates[25:], first=25), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
