"""The layer table against sums over the parameters and counts by hand; AlexNet's is in oracles/."""

import pytest
import torch
from torch import nn

from trainlab.models.convnet import ConvNet
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.models.summary import summarize

NETS = [
    (Perceptron((1, 8, 8), 10), (1, 8, 8)),
    (MLP((2,), 2, hidden=(10, 10)), (2,)),
    (MLP((3, 8, 8), 10, hidden=(20, 30, 40), dropout=0.5), (3, 8, 8)),
    (ConvNet((3, 32, 32), 10), (3, 32, 32)),
    (ConvNet((1, 8, 8), 3, channels=(2, 3, 4), dropout=0.5), (1, 8, 8)),
]


@pytest.mark.parametrize(("net", "shape"), NETS)
def test_counts_add_up_to_the_parameters(net, shape):
    rows = summarize(net, shape)
    assert sum(row.weights for row in rows) == sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert sum(row.biases for row in rows) == sum(p.numel() for p in net.parameters() if p.ndim == 1)


@pytest.mark.parametrize(("net", "shape"), NETS)
def test_layers_have_names_of_their_own(net, shape):
    names = [row.name for row in summarize(net, shape)]
    assert len(set(names)) == len(names)


def test_convnet_by_hand():
    """32 → 16 → 8 → 4 pixels."""
    rows = summarize(ConvNet((3, 32, 32), 10), (3, 32, 32))
    assert [row.output for row in rows] == [(32, 32, 32), (32, 16, 16), (64, 8, 8), (10,)]
    assert [row.weights for row in rows] == [2400, 25_600, 51_200, 10_240]
    assert [row.connections for row in rows] == [2400 * 1024, 25_600 * 256, 51_200 * 64, 10_240]
    assert [row.neurons for row in rows] == [32_768, 8192, 4096, 10]
    # 5; a pool of 3 makes 7, and five pixels two apart 7 + 4·2; a pool of 3 makes 19, and five pixels four apart all 32
    assert [row.receptive_field for row in rows] == [5, 15, 32, None]


def test_mlp_by_hand():
    rows = summarize(MLP((1, 8, 8), 10, hidden=(20,)), (1, 8, 8))
    assert [(row.kernel, row.weights, row.biases, row.connections, row.output) for row in rows] == [
        ("64 → 20", 1280, 20, 1280, (20,)),
        ("20 → 10", 200, 10, 200, (10,)),
    ]


def test_groups_and_stride_by_hand():
    (row,) = summarize(nn.Sequential(nn.Conv2d(4, 6, (3, 5), stride=2, groups=2, bias=False)), (4, 11, 11))
    assert (row.weights, row.biases, row.stride, row.output) == (6 * 2 * 15, 0, 2, (6, 5, 4))
    assert row.connections == 6 * 2 * 15 * 5 * 4
    assert row.kernel == "6 × 3×5×2, 2 groups"


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was(training):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    summarize(net, (1, 8, 8))
    assert net.training is training
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_net_that_fails_keeps_no_hooks():
    net = Perceptron((4,), 2)
    with pytest.raises(RuntimeError):
        summarize(net, (5,))
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_any_dtype_will_do():
    assert len(summarize(ConvNet((1, 8, 8), 3).double(), (1, 8, 8))) == 4
