"""What the LightningModule does between the network and the optimiser."""

import pytest
import torch
from torch import nn

from trainlab.classifier import Classifier, Recipe
from trainlab.models.mlp import MLP
from trainlab.objective import L2, CrossEntropy
from trainlab.optim import Momentum, make_optimizer


@pytest.mark.parametrize("after", [None, 0, 1])
def test_the_first_layer_can_be_frozen_and_the_others_go_on(after):
    """In epoch 0, with momentum and L2, which would move it without a gradient."""
    torch.manual_seed(0)
    net = MLP((4,), 3, hidden=[5])
    recipe = Recipe(L2(examples=1), lambda n: None, freeze_first_after=after)
    classifier = Classifier(net, CrossEntropy(), recipe, classes=3)
    optimizer = make_optimizer(net, Momentum, lr=0.1, momentum=0.9, weight_decay=0.01)
    first, last = [m for m in net.modules() if isinstance(m, nn.Linear)]
    before = [p.detach().clone() for p in (first.weight, first.bias, last.weight)]
    for _ in range(2):
        optimizer.zero_grad()
        CrossEntropy()(net(torch.randn(8, 4)), torch.arange(8) % 3).backward()
        classifier.on_before_optimizer_step(optimizer)
        optimizer.step()
    frozen = after == 0
    assert torch.equal(first.weight, before[0]) == frozen
    assert torch.equal(first.bias, before[1]) == frozen
    assert not torch.equal(last.weight, before[2])
