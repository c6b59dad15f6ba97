"""Every network that conf/model names, through the same tests: a new one is taken up by itself."""

import copy
import io
import math
from collections.abc import Callable
from pkgutil import resolve_name

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from trainlab.configuration.build import targets
from trainlab.models.activations import ACTIVATIONS
from trainlab.models.alexnet import AlexNet
from trainlab.models.convnet import ConvNet
from trainlab.models.initial_weights import INITIAL_WEIGHTS
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron

CLASSES = 3
KINDS = [resolve_name(name) for name in sorted(targets("model"))]
SHAPES = {kind: (2, max(8, kind.min_size), max(8, kind.min_size)) for kind in KINDS}
START = "kaiming"

each = pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)


def build(kind: Callable[..., nn.Module], seed: int = 0, **kwargs: object) -> nn.Module:
    torch.manual_seed(seed)
    return kind(SHAPES[kind], CLASSES, **{"init": START, **kwargs})


@pytest.fixture(scope="module")
def built() -> dict[type, nn.Module]:
    """One of each, in evaluation mode; for tests that change nothing."""
    return {kind: build(kind).eval() for kind in SHAPES}


@pytest.fixture
def fake():
    """Tensors of a shape and without values, where only the structure is looked at."""
    with FakeTensorMode():
        yield


def batch(kind: type, count: int = 3) -> torch.Tensor:
    return torch.randn(count, *SHAPES[kind], generator=torch.Generator().manual_seed(1))


def test_the_networks_of_the_lecture_are_among_them():
    assert {Perceptron, MLP, ConvNet, AlexNet} <= {*KINDS}


@each
@pytest.mark.parametrize("count", [1, 3])
def test_output(kind, count, built):
    with torch.no_grad():
        output = built[kind](batch(kind, count))
    assert output.shape == (count, CLASSES)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


@each
def test_the_gradient_reaches_every_parameter(kind, built):
    net = copy.deepcopy(built[kind])
    net(batch(kind)).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


@each
def test_an_example_does_not_depend_on_its_company(kind, built):
    inputs = batch(kind)
    with torch.no_grad():
        torch.testing.assert_close(built[kind](inputs)[1:2], built[kind](inputs[1:2]), rtol=1e-4, atol=1e-5)


@each
def test_evaluation_is_the_same_twice(kind, built):
    with torch.no_grad():
        assert torch.equal(built[kind](batch(kind)), built[kind](batch(kind)))


@each
def test_the_same_seed_gives_the_same_weights(kind, built):
    same = build(kind).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in built[kind].state_dict().items())


@each
def test_another_seed_gives_other_weights(kind, built):
    other = build(kind, seed=1).state_dict()
    assert not any(torch.equal(v, other[name]) for name, v in built[kind].state_dict().items() if v.ndim > 1)


@each
def test_biases_start_from_zero(kind, built):
    assert all(not p.any() for p in built[kind].parameters() if p.ndim == 1)


@each
def test_bfloat16_autocast_is_close(kind, built):
    with torch.no_grad():
        exact = built[kind](batch(kind))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = built[kind](batch(kind))
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05 * exact.abs().max().item())


@each
def test_weights_survive_a_file(kind, built):
    file = io.BytesIO()
    torch.save(built[kind].state_dict(), file)
    file.seek(0)
    other = build(kind, seed=1).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        assert torch.equal(other(batch(kind)), built[kind](batch(kind)))


@each
@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "identity"])
def test_the_activation_is_the_chosen_one(fake, kind, name):
    net = kind(SHAPES[kind], CLASSES, activation=name)
    found = {type(module) for module in net.modules()} & set(ACTIVATIONS.values())
    assert found - {nn.Identity} == {getattr(nn, {"relu": "ReLU"}.get(name, name.capitalize()))} - {nn.Identity}


@each
def test_an_unknown_activation_is_refused(fake, kind):
    with pytest.raises(AssertionError, match=r"activation=swish.*relu"):
        kind(SHAPES[kind], CLASSES, activation="swish")


@each
@pytest.mark.parametrize("name", INITIAL_WEIGHTS)
def test_every_start_is_known(fake, kind, name):
    kind(SHAPES[kind], CLASSES, init=name)


@each
def test_an_unknown_start_is_refused(fake, kind):
    with pytest.raises(AssertionError, match=r"init=best.*kaiming"):
        kind(SHAPES[kind], CLASSES, init="best")


@each
def test_the_smallest_side_works(fake, kind):
    size = kind.min_size
    assert kind((1, size, size), CLASSES)(torch.zeros(2, 1, size, size)).shape == (2, CLASSES)


@each
def test_channels_last_gives_the_same(kind, built):
    """In float64: in float32 a neuron close to ReLU's corner may be on either side of it."""
    net, inputs = copy.deepcopy(built[kind]).double(), batch(kind).double()
    found, expected = net(inputs.contiguous(memory_format=torch.channels_last)), net(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(found.sum(), list(net.parameters()))
    for gradient, other in zip(gradients, torch.autograd.grad(expected.sum(), list(net.parameters())), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


# ---- the starts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper", 0.01),
        ("kaiming", math.sqrt(2 / 400)),
        ("xavier", math.sqrt(2 / (400 + 300))),
        ("torch", 1 / math.sqrt(3 * 400)),
        ("zero", 0.0),
    ],
)
def test_start_has_its_published_deviation(name, expected):
    torch.manual_seed(0)
    weight = MLP((400,), 2, hidden=(300,), init=name).layers[1].weight
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=4 * expected / math.sqrt(weight.numel()))


@pytest.mark.parametrize(("name", "bound"), [("xavier", math.sqrt(6 / 700)), ("torch", 1 / math.sqrt(400))])
def test_uniform_starts_fill_their_interval(name, bound):
    torch.manual_seed(0)
    weight = MLP((400,), 2, hidden=(300,), init=name).layers[1].weight
    assert 0.999 * bound < weight.abs().max() <= bound


def test_a_convolutions_fan_in_is_its_window():
    torch.manual_seed(0)
    weight = ConvNet((3, 8, 8), 2, channels=(200, 1, 1)).features[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 75), rel=0.02)


# ---- dropout


@pytest.mark.parametrize(("kind", "places"), [(MLP, 2), (ConvNet, 1), (AlexNet, 2)])
def test_dropout_is_the_chosen_one(fake, kind, places):
    net = kind(SHAPES[kind], CLASSES, dropout=0.3)
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.3] * places


@pytest.mark.parametrize("kind", [MLP, ConvNet])
def test_dropout_acts_in_training_only(kind):
    net, inputs = build(kind, dropout=0.5), batch(kind)
    with torch.no_grad():
        assert not torch.equal(net(inputs), net(inputs))
        assert torch.equal(net.eval()(inputs), build(kind, dropout=0.0)(inputs))


# ---- what is particular to one network


def test_mlp_is_the_lectures_formula():
    """f(x) = σ(W3 σ(W2 σ(W1 x)))."""
    net = MLP((5,), 3, hidden=(4, 6), activation="sigmoid", output_activation="sigmoid", init="xavier")
    x = batch(MLP)[:, 0, 0, :5]
    w1, w2, w3 = (p for p in net.parameters() if p.ndim > 1)
    expected = torch.sigmoid(torch.sigmoid(torch.sigmoid(x @ w1.T) @ w2.T) @ w3.T)
    torch.testing.assert_close(net(x), expected)


def test_mlp_without_hidden_layers_is_the_perceptron():
    torch.manual_seed(0)
    net = MLP((5,), 3, hidden=(), init="paper")
    torch.manual_seed(0)
    perceptron = Perceptron((5,), 3, init="paper")
    x = torch.randn(2, 5)
    assert torch.equal(net(x), perceptron(x))


@pytest.mark.parametrize("hidden", [(0,), (5, -1)])
def test_mlp_refuses_a_layer_without_neurons(hidden):
    with pytest.raises(AssertionError, match="hidden"):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_convnet_is_convolution_activation_pooling(name, function):
    """An increasing activation commutes with the first pooling, so its place there is a matter of speed."""
    torch.manual_seed(0)
    net = ConvNet((3, 32, 32), 10, activation=name)
    first, second, third = (m for m in net.features if isinstance(m, nn.Conv2d))
    x = torch.randn(4, 3, 32, 32)
    maps = F.max_pool2d(function(first(x)), 3, 2, ceil_mode=True)
    maps = F.avg_pool2d(function(second(maps)), 3, 2, ceil_mode=True)
    maps = F.avg_pool2d(function(third(maps)), 3, 2, ceil_mode=True)
    expected = net.classifier[-1](maps.flatten(1))
    torch.testing.assert_close(net(x), expected)
    found = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    for gradient, other in zip(
        found, torch.autograd.grad(expected.square().sum(), list(net.parameters())), strict=True
    ):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [(32, 32), (1, 2, 3, 4), (1, 0, 1)])
def test_convnet_refuses_other_than_three_counts(channels):
    with pytest.raises(AssertionError, match="channels"):
        ConvNet((1, 8, 8), 3, channels=channels)


@pytest.mark.parametrize("size", [8, 9, 15, 28, 32, 33])
def test_convnet_takes_every_size(fake, size):
    assert ConvNet((1, size, size), 3)(torch.zeros(2, 1, size, size)).shape == (2, 3)
