"""The data terms against scikit-learn, scipy and numpy; L2 against autograd on an explicit penalty."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from trainlab.models.convnet import ConvNet
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.objective import L2, CrossEntropy, HalfMSE, half_mean_square, weights_and_biases
from trainlab.optim import Momentum, make_optimizer


def outputs_and_labels(n: int = 50, classes: int = 7, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(n, classes, generator=generator), torch.randint(classes, (n,), generator=generator)


@pytest.mark.parametrize("classes", [2, 7, 1000])
def test_cross_entropy_is_sklearns_log_loss(classes):
    outputs, labels = outputs_and_labels(classes=classes)
    expected = log_loss(labels, softmax(outputs.double().numpy(), 1), labels=range(classes))
    assert CrossEntropy()(outputs, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 100.0, 10_000.0])  # no overflow
def test_cross_entropy_is_scipys_log_softmax(scale):
    outputs, labels = outputs_and_labels(scale=scale)
    expected = -log_softmax(outputs.double().numpy(), 1)[range(50), labels].mean()
    assert CrossEntropy()(outputs, labels).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropys_scores_are_scipys_softmax():
    outputs = torch.randn(3, 4, 7)
    np.testing.assert_allclose(CrossEntropy().predict(outputs), softmax(outputs.numpy(), -1), rtol=1e-5)


def test_half_mse_is_numpys():
    outputs, labels = outputs_and_labels()
    expected = ((outputs.numpy() - np.eye(7)[labels]) ** 2).sum() / (2 * 50)
    assert HalfMSE()(outputs, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [CrossEntropy(), HalfMSE()])
def test_the_loss_of_one_views_predictions_is_the_loss(loss):
    outputs, labels = outputs_and_labels()
    assert loss.from_predictions(loss.predict(outputs), labels).item() == pytest.approx(
        loss(outputs, labels).item(), rel=1e-5
    )


def test_cross_entropy_of_averaged_views_is_sklearns_log_loss():
    outputs, labels = torch.randn(10, 50, 7), outputs_and_labels()[1]
    expected = log_loss(labels, softmax(outputs.double().numpy(), -1).mean(0), labels=range(7))
    predictions = CrossEntropy().predict(outputs).mean(0)
    assert CrossEntropy().from_predictions(predictions, labels).item() == pytest.approx(expected, rel=1e-5)


def test_a_score_of_zero_costs_a_finite_loss():
    predictions = torch.tensor([[1.0, 0.0]])
    assert CrossEntropy().from_predictions(predictions, torch.tensor([1])).isfinite()


@pytest.mark.parametrize("loss", [CrossEntropy(), HalfMSE()])
def test_losses_of_bfloat16_outputs_are_float32(loss):
    outputs, labels = outputs_and_labels()
    value = loss(outputs.bfloat16(), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(outputs.bfloat16().float(), labels).item())


@pytest.mark.parametrize("loss", [CrossEntropy(), HalfMSE()])
def test_losses_are_means_over_the_examples(loss):
    outputs, labels = outputs_and_labels()
    parts = [loss(o, y) * len(y) for o, y in zip(outputs.split(13), labels.split(13), strict=True)]
    assert loss(outputs, labels).item() == pytest.approx(sum(parts).item() / 50, rel=1e-5)


@pytest.mark.parametrize("net", [Perceptron((4,), 3), MLP((4,), 3, hidden=(5, 6)), ConvNet((1, 8, 8), 3)])
def test_weights_and_biases_are_all_parameters_by_name(net):
    named = dict(net.named_parameters())
    weights, biases = weights_and_biases(net)
    assert {id(p) for p in weights} == {id(p) for name, p in named.items() if name.endswith("weight")}
    assert {id(p) for p in biases} == {id(p) for name, p in named.items() if name.endswith("bias")}


def test_frozen_parameters_are_left_alone():
    net = MLP((4,), 3, hidden=(5,))
    net.layers[1].requires_grad_(False)
    weights, biases = weights_and_biases(net)
    assert [tuple(p.shape) for p in weights + biases] == [(3, 5), (3,)]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.floats(0, 100), st.integers(1, 10_000))
def test_the_sum_form_is_the_mean_form_of_strength_over_n(strength, examples):
    mean = L2(strength / examples, "mean", examples=examples)
    assert L2(strength, "sum", examples=examples).weight_decay == mean.weight_decay


def test_penalty_is_numpys():
    weights = [torch.randn(3, 4), torch.randn(2, 3, 5, 5)]
    expected = 0.5 * 0.7 * sum((w.double().numpy() ** 2).sum() for w in weights)
    assert L2(0.7, examples=10).penalty(weights).item() == pytest.approx(expected, rel=1e-5)


def test_an_unknown_form_is_refused():
    with pytest.raises(AssertionError, match="form=median"):
        L2(1.0, "median", examples=10)


@pytest.mark.parametrize("make", [make_optimizer, partial(make_optimizer, kind=Momentum, momentum=0.9)])
@pytest.mark.parametrize("form", ["mean", "sum"])
def test_a_step_follows_the_gradient_of_the_explicit_penalty(form, make):
    """In float64, one step from an optimiser without momentum built up: θ − η ∇(loss + penalty on weights)."""
    torch.manual_seed(0)
    net, x, y = MLP((4,), 3, hidden=(5,)).double(), torch.randn(20, 4).double(), torch.randint(3, (20,))
    torch.nn.init.normal_(net.layers[1].bias)
    net.zero_grad()

    def data_term() -> torch.Tensor:
        return -net(x).log_softmax(1)[range(20), y].mean()

    c = 0.8 if form == "mean" else 0.8 / 20
    penalty = sum(c / 2 * (p**2).sum() for name, p in net.named_parameters() if name.endswith("weight"))
    gradients = torch.autograd.grad(data_term() + penalty, list(net.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(net.parameters(), gradients, strict=True)]

    strength = L2(0.8, form, examples=20).weight_decay
    optimizer = make(net, lr=0.1, weight_decay=strength)
    data_term().backward()
    optimizer.step()
    for found, wanted in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [make_optimizer, partial(make_optimizer, kind=Momentum, momentum=0.9)])
def test_l2_does_not_touch_the_biases(make):
    net = MLP((4,), 3, hidden=(5,))
    for p in net.parameters():
        torch.nn.init.ones_(p)
        p.grad = torch.zeros_like(p)
    make(net, lr=0.1, weight_decay=0.5).step()
    for p in net.parameters():
        assert p.unique().tolist() == pytest.approx([0.95 if p.ndim > 1 else 1.0])


def test_the_half_mean_square_of_numbers_is_half_of_torchs():
    outputs, targets = torch.randn(7, 1, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    assert float(half_mean_square(outputs, targets)) == pytest.approx(
        float(torch.nn.functional.mse_loss(outputs[:, 0], targets)) / 2
    )
    assert half_mean_square(outputs.expand(3, 7, 1), targets).item() == pytest.approx(
        half_mean_square(outputs, targets).item()
    )
