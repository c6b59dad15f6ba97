"""Least squares: the closed form and gradient descent against numpy's lstsq and scikit-learn's regressions."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from trainlab.models.perceptron import Perceptron
from trainlab.objective import L2, HalfMSE
from trainlab.optim import Momentum, make_optimizer
from trainlab.runtime.closed_form import gaps, least_squares

N, FEATURES, CLASSES = 60, 4, 3


@pytest.fixture(scope="module")
def points() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(N, FEATURES, generator=generator) + 0.5
    return inputs, torch.randint(CLASSES, (N,), generator=generator)


def one_hot(labels: torch.Tensor) -> np.ndarray:
    return np.eye(CLASSES)[labels.numpy()]


def sklearn_solution(inputs: torch.Tensor, labels: torch.Tensor, alpha: float) -> np.ndarray:
    """(F + 1, classes), the bias last, as `least_squares` has it."""
    model = Ridge(alpha=alpha, tol=1e-12) if alpha else LinearRegression()
    model.fit(inputs.double().numpy(), one_hot(labels))
    return np.vstack([model.coef_.T, model.intercept_])


def descend(net: Perceptron, inputs: torch.Tensor, labels: torch.Tensor, l2: float, momentum: float | None) -> None:
    """The plain loop of batch gradient descent."""
    options = {} if momentum is None else {"kind": Momentum, "momentum": momentum}
    optimizer = make_optimizer(net, lr=0.3, weight_decay=l2, **options)
    for _ in range(250):
        optimizer.zero_grad()
        HalfMSE()(net(inputs), labels).backward()
        optimizer.step()


def parameters(net: Perceptron) -> np.ndarray:
    return np.vstack([net.linear.weight.detach().numpy().T, net.linear.bias.detach().numpy()])


def test_closed_form_is_numpys(points):
    inputs, labels = points
    x = np.column_stack([inputs.double().numpy(), np.ones(N)])
    expected = np.linalg.lstsq(x, one_hot(labels), rcond=None)[0]
    np.testing.assert_allclose(least_squares(inputs, labels, CLASSES), expected, atol=1e-10)


@pytest.mark.parametrize("c", [0.0, 0.01, 1.0, 10.0])
def test_closed_form_is_sklearns(points, c):
    expected = sklearn_solution(*points, alpha=c * N)
    np.testing.assert_allclose(least_squares(*points, CLASSES, c), expected, atol=1e-10)


def test_closed_form_of_constant_pixels_is_numpys_least_norm(points):
    inputs, labels = points
    inputs = torch.cat([inputs, torch.zeros(N, 1), inputs[:, :1]], 1)
    x = np.column_stack([inputs.double().numpy(), np.ones(N)])
    expected = np.linalg.lstsq(x, one_hot(labels), rcond=None)[0]
    np.testing.assert_allclose(least_squares(inputs, labels, CLASSES), expected, atol=1e-8)


@pytest.mark.parametrize("momentum", [None, 0.9])
@pytest.mark.parametrize("c", [0.0, 0.1])
def test_gradient_descent_arrives_at_sklearns_solution(points, c, momentum):
    net = Perceptron((FEATURES,), CLASSES, init="zero")
    descend(net, *points, c, momentum)
    np.testing.assert_allclose(parameters(net), sklearn_solution(*points, alpha=c * N), atol=1e-4)


def test_the_sum_forms_strength_is_ridges_alpha(points):
    net = Perceptron((FEATURES,), CLASSES, init="zero")
    descend(net, *points, L2(6.0, "sum", examples=N).weight_decay, None)
    np.testing.assert_allclose(parameters(net), sklearn_solution(*points, alpha=6.0), atol=1e-4)


@pytest.mark.parametrize("c", [0.0, 0.1])
def test_gaps_are_those_to_sklearns_solution(points, c):
    inputs, labels = points
    expected = sklearn_solution(inputs, labels, alpha=c * N)
    weight, bias = torch.full((CLASSES, FEATURES), 0.2), torch.full((CLASSES,), -0.1)

    def objective(w: np.ndarray, b: np.ndarray) -> float:
        residual = inputs.double().numpy() @ w + b - one_hot(labels)
        return (residual**2).sum() / (2 * N) + c / 2 * (w**2).sum()

    found = gaps(weight, bias, inputs, labels, c)
    here = objective(weight.double().numpy().T, bias.double().numpy())
    assert found["least_squares/objective_gap"] == pytest.approx(here - objective(expected[:-1], expected[-1]))
    trained = np.vstack([weight.double().numpy().T, bias.double().numpy()])
    assert found["least_squares/weight_gap"] == pytest.approx(np.abs(trained - expected).max())
