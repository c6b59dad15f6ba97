"""Averaged probabilities against scipy's softmax and numpy's mean."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from trainlab.models.ensemble import Ensemble
from trainlab.objective import CrossEntropy, HalfMSE


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return [nn.Sequential(nn.Flatten(), nn.Linear(12, 5)) for _ in range(3)]


def test_probabilities_are_averaged(nets):
    x, loss = torch.randn(4, 3, 2, 2), CrossEntropy()
    with torch.no_grad():
        found = loss.predict(Ensemble(nets, loss)(x))
        expected = np.mean([softmax(net(x).double().numpy(), axis=1) for net in nets], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_outputs_are_averaged_where_they_are_the_scores(nets):
    x = torch.randn(4, 3, 2, 2)
    with torch.no_grad():
        expected = np.mean([net(x).numpy() for net in nets], axis=0)
        np.testing.assert_allclose(Ensemble(nets, HalfMSE())(x), expected, rtol=1e-5, atol=1e-6)


def test_a_network_of_another_mean_sees_what_it_was_trained_on(nets):
    x, shift = torch.randn(4, 3, 2, 2), torch.tensor([0.1, -0.2, 0.3])
    with torch.no_grad():
        found = Ensemble(nets[:1], HalfMSE(), [shift])(x)
        torch.testing.assert_close(found, nets[0](x + shift[:, None, None]))
