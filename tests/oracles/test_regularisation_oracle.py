"""L2's sum form against scikit-learn, whose alpha (and 1/C) is the lecture's λ."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.objective import L2, CrossEntropy, weights_and_biases

N = 80


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    return rng.normal(size=(N, 4)) + 0.8 * np.eye(3, 4)[labels], labels


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("alpha", [0.0, 0.3, 10.0])
def test_objective_is_mlpclassifiers(blobs, alpha):
    x, y = blobs
    theirs = MLPClassifier((5,), alpha=alpha, solver="lbfgs", max_iter=15, random_state=0).fit(x, y)
    net = MLP((4,), 3, hidden=(5,)).double()
    with torch.no_grad():
        for ours, value in zip(weights_and_biases(net)[0], theirs.coefs_, strict=True):
            ours.copy_(torch.from_numpy(value.T))
        for ours, value in zip(weights_and_biases(net)[1], theirs.intercepts_, strict=True):
            ours.copy_(torch.from_numpy(value))
    loss = CrossEntropy()(net(torch.from_numpy(x)), torch.from_numpy(y))
    penalty = L2(alpha, "sum", examples=N).penalty(weights_and_biases(net)[0])
    assert (loss + penalty).item() == pytest.approx(theirs.loss_, rel=1e-5)


@pytest.mark.parametrize("strength", [0.5, 5.0])
def test_logistic_regression_is_where_the_gradient_vanishes(blobs, strength):
    x, y = blobs
    theirs = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=5000).fit(x, y)
    net = Perceptron((4,), 3).double()
    with torch.no_grad():
        net.linear.weight.copy_(torch.from_numpy(theirs.coef_))
        net.linear.bias.copy_(torch.from_numpy(theirs.intercept_))
    CrossEntropy()(net(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    weight = net.linear.weight
    assert weight.grad.norm() > 1e-2  # the data term alone is not at rest
    assert (weight.grad + L2(strength, "sum", examples=N).weight_decay * weight).norm() < 1e-6
    assert net.linear.bias.grad.norm() < 1e-6
