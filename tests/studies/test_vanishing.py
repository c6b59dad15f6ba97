"""The gradient in many layers: Jacobians by torch.func, the recursions by hand, and what a wrong one looks like."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.models.initial_weights import INITIAL_WEIGHTS
from trainlab.models.mlp import MLP
from trainlab.studies.vanishing.measurement import gradient_norms, load_digits, measure, one_network
from trainlab.studies.vanishing.recursions import (
    Moments,
    draw_networks,
    linear_difference,
    recursion,
    relative_variance,
    variance,
)
from trainlab.studies.vanishing.study import expected_factor, study

NAMES = ("values", "gradients", "weights")


@pytest.mark.run
def test_all_oracles_hold():
    finding = study(networks=1)
    assert [o.name for o in finding.oracles] == ["linear_jacobians", "glorot_recursion", "he_recursion"]
    assert all(oracle.holds for oracle in finding.oracles)
    numbers = finding.numbers
    assert numbers["first_layer_before/sigmoid/torch/12_layers"] < 1e-8
    assert numbers["first_layer_before/relu/kaiming/12_layers"] > 0.01
    assert numbers["first_layer_before/tanh/zero/12_layers"] == 0


@pytest.mark.parametrize("init", INITIAL_WEIGHTS)
def test_the_variances_are_those_of_the_repositorys_weights(init):
    torch.manual_seed(0)
    net = MLP((80,), 200, hidden=[300], init=init)
    for layer, (fan_in, fan_out) in ((net.layers[1], (80, 300)), (net.layers[3], (300, 200))):
        assert layer.weight.var().item() == pytest.approx(variance(init, fan_in, fan_out), rel=0.05)


@settings(max_examples=10)
@given(depth=st.integers(2, 8), width=st.integers(1, 12), init=st.sampled_from(sorted(INITIAL_WEIGHTS)))
def test_a_linear_network_is_the_product_of_its_jacobians(depth, width, init):
    assert linear_difference(depth, width, init, torch.randn(4, 6, dtype=torch.float64), seed=depth) <= 1e-12


def test_that_product_is_torchs_jacobian_as_well():
    torch.manual_seed(0)
    net = MLP((6,), 3, hidden=[5, 4], activation="identity", init="kaiming").double()
    matrices = [net.layers[i].weight for i in (5, 3, 1)]
    jacobian = torch.func.jacrev(net)(torch.zeros(1, 6, dtype=torch.float64))[0, :, 0]
    torch.testing.assert_close(jacobian, reduce(torch.matmul, matrices))


def test_the_recursions_by_hand():
    found = recursion("relu", "kaiming", [8, 4, 5, 2])
    np.testing.assert_allclose(found.values, [1, 1, 2])  # ½ n · 2/n in the hidden layers, n · 2/n in the last
    top = 2 * 2 / 5  # two outputs, Var[w] = 2/5
    middle = top * 0.5 * 5 * 2 / 4
    np.testing.assert_allclose(found.gradients, [middle * 0.5 * 4 * 2 / 8, middle, top])
    np.testing.assert_allclose(found.weights, [0.5 * middle, 0.5 * top, 1])
    linear = recursion("tanh", "xavier", [10, 10, 10])
    np.testing.assert_allclose([*linear.values, *linear.gradients, *linear.weights], 1)


@pytest.mark.parametrize(("activation", "init"), [("relu", "kaiming"), ("tanh", "xavier"), ("relu", "torch")])
def test_networks_follow_the_recursions_within_sampling_error_and_not_a_wrong_one(activation, init):
    widths = [64, 40, 30, 50, 10]
    sample = draw_networks(activation, init, widths, load_digits().inputs, seed=1, networks=150)
    assert max(sample.deviations(name).max() for name in NAMES) < 5
    for name in NAMES:  # 10 % in each layer
        factors = 1.1 ** np.arange(1, 5)
        factors = factors if name == "values" else factors[::-1]
        wrong = replace(sample, predicted=Moments(*(getattr(sample.predicted, n) * factors for n in NAMES)))
        assert wrong.deviations(name).max() > sample.deviations(name).max() + 1


def test_the_relative_variance_is_that_of_gaussian_networks():
    """Of 20,000 layers in numpy: the sum of n squares, all or half of them."""
    random = np.random.default_rng(0)
    widths = [5, 20, 10]
    for activation in ("relu", "tanh"):
        hidden = random.standard_normal((20_000, 20))
        hidden = np.maximum(hidden, 0) if activation == "relu" else hidden
        squares = np.square(hidden).mean(axis=1)
        last = squares * np.square(random.standard_normal((20_000, 10))).mean(axis=1)
        found = relative_variance(activation, widths).values
        assert found[0] == pytest.approx(squares.var() / squares.mean() ** 2, rel=0.05)
        assert found[1] == pytest.approx(last.var() / last.mean() ** 2, rel=0.05)


def test_norms_are_those_of_backward_and_the_factor_is_theirs():
    data = load_digits()
    torch.manual_seed(0)
    net = MLP((64,), 10, hidden=[30, 30, 30], activation="tanh", init="xavier")
    norms, factor = gradient_norms(net, data)
    torch.nn.functional.cross_entropy(net(data.inputs), data.labels).backward()
    theirs = [layer.weight.grad.norm().item() for layer in net.layers if isinstance(layer, torch.nn.Linear)]
    np.testing.assert_allclose(norms, theirs, rtol=1e-5)
    assert factor == pytest.approx(expected_factor("tanh", "xavier", 30), rel=0.3)
    assert not data.inputs.requires_grad


def test_zero_weights_send_nothing_back_and_a_network_is_the_same_for_the_same_seed():
    data = load_digits()
    before, _, factor, _ = one_network("sigmoid", "zero", 4, 8, 0.1, data, seed=0)
    assert before[:-1] == [0, 0, 0]
    assert before[-1] > 0
    assert np.isnan(factor)
    state = torch.get_rng_state()
    first, second = (one_network("relu", "kaiming", 3, 8, 0.1, data, seed=3) for _ in range(2))
    assert first[:2] == second[:2]
    assert torch.equal(state, torch.get_rng_state())


def test_progress_is_told():
    told = []
    measure([2], 3, 1, 0.1, 0, lambda done, total: told.append((done, total)))
    assert told == [(k, 15) for k in range(15)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"depths": []}, "depths="),
        ({"depths": [1, 5]}, "depths has 1"),
        ({"depths": [51]}, "depths has 51"),
        ({"width": 1}, "width=1"),
        ({"width": 1001}, "width=1001"),
        ({"width": 1000, "depths": [12]}, "12,000,000 weights"),
        ({"init": "he"}, "init=he is unknown"),
        ({"networks": 0}, "networks=0"),
        ({"lr": -0.1}, "lr=-0.1"),
        ({"seed": -1}, "seed=-1"),
        ({"lang": "pt"}, "lang=pt"),
    ],
)
def test_wrong_options_are_sentences(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        study(**wrong)
