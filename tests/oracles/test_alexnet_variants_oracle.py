"""AlexNet's switches: torchvision's network to the bit, LRN in plain loops, receptive fields by autograd."""

from __future__ import annotations

import itertools
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from trainlab.errors import InputError
from trainlab.models.alexnet import AlexNet
from trainlab.models.response_normalisation import LocalResponseNorm, SpatialResponseNorm
from trainlab.models.summary import summarize

SHAPE = (3, 224, 224)


@pytest.fixture
def fake():
    with FakeTensorMode():
        yield


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    torch.manual_seed(1)
    return torchvision.models.alexnet(num_classes=10, dropout=0.0)


def ours_with(weights: dict[str, torch.Tensor]) -> AlexNet:
    net = AlexNet((3, 64, 64), 10, variant="torchvision", dropout=0.0)
    net.load_state_dict(weights)  # strict: the names are theirs
    return net


@pytest.mark.run  # seconds
def test_torchvisions_weights_give_torchvisions_logits_and_gradients(theirs):
    ours, x = ours_with(theirs.state_dict()), torch.randn(2, 3, 64, 64)
    labels = torch.tensor([3, 7])
    for net in (ours, theirs):
        net.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
    assert torch.equal(ours(x), theirs(x))
    for (name, a), (other, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(a.grad, b.grad), name
    step = [torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4) for net in (ours, theirs)]
    for optimizer in step:
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    theirs.load_state_dict(ours.state_dict())


def test_torchvisions_network_has_torchvisions_count(fake):
    assert sum(p.numel() for p in AlexNet(SHAPE, 1000, variant="torchvision").parameters()) == 61_100_840


@pytest.fixture
def published(monkeypatch) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    weights = torchvision.models.alexnet().state_dict()
    monkeypatch.setattr(
        type(torchvision.models.AlexNet_Weights.IMAGENET1K_V1), "get_state_dict", lambda *a, **k: weights
    )
    return weights


def test_published_weights_want_standardised_images(published):
    """torchvision's own preset divides by the deviations; ours only subtracts the mean."""
    reference = torchvision.models.alexnet()
    reference.load_state_dict(published)
    x = torch.randn(1, 3, 64, 64)
    std = torch.tensor(torchvision.transforms._presets.ImageClassification(crop_size=224).std)[:, None, None]
    net = AlexNet((3, 64, 64), 1000, variant="torchvision", weights="torchvision")
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), reference.eval()(x / std), rtol=0, atol=0)
    other = AlexNet((3, 64, 64), 7, variant="torchvision", weights="torchvision")
    assert other.classifier[6].weight.shape == (7, 4096)
    assert torch.equal(other.features[3].weight, published["features.3.weight"])


def test_without_a_network_there_is_a_sentence(monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(type(torchvision.models.AlexNet_Weights.IMAGENET1K_V1), "get_state_dict", no_network)
    with pytest.raises(InputError, match=r"alexnet-owt-.*cannot be had \(Name or service not known\); connect to"):
        AlexNet((3, 64, 64), 1000, variant="torchvision", weights="torchvision")


@pytest.mark.parametrize(
    ("switches", "sentence"),
    [
        ({"variant": "torchvision", "groups": 1}, "without model.groups"),
        ({"variant": "torchvision", "lrn": False}, "without model.lrn"),
        ({"weights": "torchvision"}, "add model.variant=torchvision"),
        ({"groups": 1, "conv3_cross_tower": False}, "model.groups=1 has only one"),
        ({"pool": "none"}, "overlapping, non_overlapping"),
        ({"drop_layer": "conv1"}, "conv3, conv4, conv5"),
        ({"variant": "2012"}, "paper, code2012, torchvision"),
    ],
)
def test_what_does_not_go_together_is_refused(switches, sentence):
    with pytest.raises((InputError, AssertionError), match=sentence):
        AlexNet((3, 64, 64), 10, **switches)


def test_the_papers_lrn_is_its_formula_as_it_stands():
    """b = a / (k + α Σ a²)^β with k = 2, n = 5, α = 1e-4, β = 0.75 (§3.3)."""
    norm = next(m for m in AlexNet((3, 63, 63), 10).modules() if isinstance(m, LocalResponseNorm))
    a = 50 * torch.randn(1, 96, 2, 2, dtype=torch.float64)
    found, expected = norm(a).numpy(), np.empty((1, 96, 2, 2))
    for i, y, x in itertools.product(range(96), range(2), range(2)):
        window = range(max(0, i - 2), min(95, i + 2) + 1)
        expected[0, i, y, x] = a[0, i, y, x] / (2 + 1e-4 * sum(float(a[0, j, y, x]) ** 2 for j in window)) ** 0.75
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_2012_codes_lrn_stays_within_a_tower_and_divides_alpha():
    norm = LocalResponseNorm(towers=2)
    x = (20 * torch.randn(2, 12, 3, 3, dtype=torch.float64)).requires_grad_()
    whole = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
    expected = torch.cat([whole(half) for half in x.chunk(2, dim=1)], dim=1)
    torch.testing.assert_close(norm(x), expected)
    assert torch.autograd.gradcheck(norm, (x,))


def test_normalisation_across_space_is_a_plain_loop():
    a = 20 * torch.randn(1, 2, 6, 7, dtype=torch.float64)
    found, expected = SpatialResponseNorm(5, 1e-3)(a).numpy(), np.empty(a.shape)
    for m, y, x in itertools.product(range(2), range(6), range(7)):
        around = a[0, m, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        expected[0, m, y, x] = a[0, m, y, x] / (1 + 1e-3 / 25 * float(around.square().sum())) ** 0.75
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def names(block: nn.Module) -> list[str]:
    return [type(m).__name__ for m in block]


def test_the_2012_codes_order_of_layers(fake):
    net = AlexNet(SHAPE, 1000, variant="code2012")
    assert names(net.conv1)[-4:] == ["Conv2d", "LocalResponseNorm", "MaxPool2d", "ReLU"]
    assert names(net.conv2) == ["Conv2d", "ReLU", "LocalResponseNorm", "SpatialResponseNorm", "MaxPool2d"]
    assert [m.towers for m in net.modules() if isinstance(m, LocalResponseNorm)] == [2, 2]
    assert sum(p.numel() for p in net.parameters()) == 60_965_224


def test_the_2012_code_starts_conv3_to_conv5_wider():
    torch.manual_seed(0)
    net = AlexNet((3, 63, 63), 10, variant="code2012")
    for name in ("conv2", "conv3", "conv4", "conv5"):
        (convolution,) = (m for m in getattr(net, name) if isinstance(m, nn.Conv2d))
        assert convolution.weight.std().item() == pytest.approx(0.01 if name == "conv2" else 0.03, rel=0.03)


@pytest.mark.parametrize("pool", ["overlapping", "non_overlapping"])
@pytest.mark.parametrize("size", [63, 64, 97, 224, 227])
def test_both_poolings_give_the_same_sides(fake, pool, size):
    net, x = AlexNet((3, size, size), 10, pool=pool), torch.zeros(1, 3, size, size)
    sides = [(x := getattr(net, name)(x)).shape[-1] for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")]
    side = -(-(size - 11) // 4) + 1
    assert sides == [side // 2, side // 4, side // 4, side // 4, side // 4, side // 8]
    if size == 224:
        assert sides == [27, 13, 13, 13, 13, 6]


def test_without_links_between_the_towers_conv3_sees_its_own(fake):
    net = AlexNet(SHAPE, 1000, conv3_cross_tower=False)
    assert sum(p.numel() for p in net.parameters()) == 60_965_224 - 884_736 // 2


@pytest.mark.parametrize(
    ("without", "fewer"), [("conv4", 663_552 + 384), ("conv3", 884_736 + 384 + 192 * 384 * 9 - 128 * 384 * 9)]
)
def test_a_middle_layer_can_be_left_out(fake, without, fewer):
    net = AlexNet(SHAPE, 1000, drop_layer=without)
    assert not hasattr(net, without)
    assert sum(p.numel() for p in net.parameters()) == 60_965_224 - fewer
    assert net(torch.zeros(2, *SHAPE)).shape == (2, 1000)


def test_the_network_of_one_gpu_has_half_the_kernels_and_about_as_many_weights(fake):
    """Footnote of §3.2: conv5 and the dense layers stay as they are, so that the two have about the same number."""
    net = AlexNet(SHAPE, 1000, groups=1, width="half")
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)] == [48, 128, 192, 192, 256]
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(60_965_224, rel=0.03)


@pytest.mark.parametrize("variant", ["paper", "code2012"])
def test_receptive_fields_are_where_the_gradient_comes_from(variant):
    torch.manual_seed(0)
    net = AlexNet((1, 255, 255), 2, variant=variant, init="kaiming", activation="tanh")
    rows = {row.name: row.receptive_field for row in summarize(net, (1, 255, 255))}
    assert rows["fc6"] is None
    if variant == "paper":
        assert [rows[f"conv{k}"] for k in range(1, 6)] == [11, 51, 99, 131, 163]
    x = torch.randn(1, 1, 255, 255, requires_grad=True)
    maps = x
    for name in ("conv1", "conv2", "conv3"):
        block = getattr(net, name)
        for module in block:
            maps = module(maps)
            if isinstance(module, nn.Conv2d):
                middle = maps.shape[-1] // 2
                gradient = torch.autograd.grad(maps[0, :, middle, middle].sum(), x, retain_graph=True)[0][0, 0]
                touched = gradient.abs().sum(0).nonzero().flatten()
                seen = int(touched.max() - touched.min()) + 1
                # Of a maximum only the greatest of a window passes the gradient on: a little less may be touched.
                assert rows[name] - 16 <= seen <= rows[name], name
