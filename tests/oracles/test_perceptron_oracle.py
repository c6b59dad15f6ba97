"""The sigmoid perceptron against the lecture's formula and its worked example of backpropagation."""

import numpy as np
import pytest
import torch

from trainlab.models.perceptron import Perceptron
from trainlab.objective import HalfMSE


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_autograd_is_the_lectures_formula(classes):
    """∂J/∂w_i = −Σ (t − o) o (1 − o) x_i with J = ½ Σ (t − o)²."""
    torch.manual_seed(0)
    n = 40
    net = Perceptron((6,), classes, activation="sigmoid", init="xavier")
    inputs, labels = torch.randn(n, 6), torch.randint(classes, (n,))
    (HalfMSE()(net(inputs), labels) * n).backward()

    x, w, b = inputs.double().numpy(), *(p.detach().double().numpy() for p in net.linear.parameters())
    t = np.eye(classes)[labels.numpy()]
    o = 1 / (1 + np.exp(-(x @ w.T + b)))
    delta = (t - o) * o * (1 - o)
    np.testing.assert_allclose(net.linear.weight.grad, -delta.T @ x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.linear.bias.grad, -delta.sum(0), rtol=1e-4, atol=1e-5)


@pytest.fixture
def example() -> tuple[Perceptron, torch.Tensor]:
    """f(w, x) = 1/(1 + e^−(w0 x0 + w1 x1 + w2)), w = (2, −3, −3), x = (−1, −2)."""
    net = Perceptron((2,), 1, activation="sigmoid")
    with torch.no_grad():
        net.linear.weight.copy_(torch.tensor([[2.0, -3.0]]))
        net.linear.bias.fill_(-3.0)
    return net, torch.tensor([[-1.0, -2.0]], requires_grad=True)


def test_worked_example_forward(example):
    net, x = example
    assert net(x).item() == pytest.approx(0.7311, abs=5e-5)
    assert net.linear(x).item() == 1.0


def test_worked_example_gradients(example):
    net, x = example
    net(x).backward()
    torch.testing.assert_close(net.linear.weight.grad, torch.tensor([[-0.1966, -0.3932]]), atol=5e-5, rtol=0)
    torch.testing.assert_close(net.linear.bias.grad, torch.tensor([0.1966]), atol=5e-5, rtol=0)
    torch.testing.assert_close(x.grad, torch.tensor([[0.3932, -0.5898]]), atol=5e-5, rtol=0)
