"""AlexNet against the numbers of the paper and the lecture. Counting is done on fake tensors, which hold no values."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from trainlab.errors import InputError
from trainlab.models.alexnet import AlexNet, CeilPad
from trainlab.models.summary import LayerSummary, summarize

SHAPE = (3, 224, 224)
NAMES = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
GROUPED = [34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000]
UNGROUPED = [34_848, 614_400, 884_736, 1_327_104, 884_736, 37_748_736, 16_777_216, 4_096_000]
NEURONS = [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
OUTPUTS = [(96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13), (4096,), (4096,), (1000,)]
PIXELS = [55**2, 27**2, 13**2, 13**2, 13**2, 1, 1, 1]
BIASES = [96, 256, 384, 384, 256, 4096, 4096, 1000]


@pytest.fixture(scope="module", params=[2, 1], ids=["grouped", "ungrouped"])
def table(request) -> tuple[int, list[LayerSummary]]:
    with FakeTensorMode():
        return request.param, summarize(AlexNet(SHAPE, 1000, groups=request.param), SHAPE)


@pytest.fixture
def fake():
    with FakeTensorMode():
        yield


@pytest.mark.parametrize("row", range(8), ids=NAMES)
def test_row(table, row):
    groups, rows = table
    weights = (GROUPED if groups == 2 else UNGROUPED)[row]
    found = rows[row]
    assert (found.name, found.output, found.neurons) == (NAMES[row], OUTPUTS[row], NEURONS[row])
    assert (found.weights, found.biases) == (weights, BIASES[row])
    assert found.connections == weights * PIXELS[row]


def test_sums_over_the_layers(table):
    """724,406,816 multiplications; 659,272 neurons: the abstract's "650,000" and the 1000 outputs included."""
    groups, rows = table
    assert sum(row.weights + row.biases for row in rows) == (60_965_224 if groups == 2 else 62_378_344)
    assert sum(row.neurons for row in rows) == 659_272
    if groups == 2:
        assert sum(row.connections for row in rows) == 724_406_816


@pytest.mark.parametrize(("groups", "total"), [(2, 60_965_224), (1, 62_378_344)])
def test_parameters(fake, groups, total):
    assert sum(p.numel() for p in AlexNet(SHAPE, 1000, groups=groups).parameters()) == total


@pytest.mark.parametrize(("row", "seen"), list(enumerate(["11×11×3", "5×5×48", "3×3×256", "3×3×192", "3×3×192"])))
def test_kernels_as_the_paper_writes_them(table, row, seen):
    groups, rows = table
    if groups == 2:
        assert rows[row].kernel.split(",")[0] == f"{OUTPUTS[row][0]} × {seen}"
    assert rows[row].stride == (4 if row == 0 else 1)


def test_maps_are_55_27_13_6_pixels(fake):
    net, x, sides = AlexNet(SHAPE, 1000), torch.zeros(1, *SHAPE), []
    for block in (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5, [net.pool5]):
        for module in block:
            x = module(x)
            sides.append(x.shape[-1])
    assert list(dict.fromkeys(sides)) == [227, 55, 27, 13, 6]


def test_the_first_two_layers_rectify_then_normalise_then_pool(fake):
    net = AlexNet(SHAPE, 1000)
    for block in (net.conv1, net.conv2):
        assert [type(m).__name__ for m in block][-4:] == ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]
    assert not any("Norm" in type(m).__name__ for block in (net.conv3, net.conv4, net.conv5) for m in block)


def test_normalisation_can_be_left_out(fake):
    net = AlexNet(SHAPE, 1000, lrn=False)
    assert not any("Norm" in type(m).__name__ for m in net.modules())
    assert sum(p.numel() for p in net.parameters()) == 60_965_224


@pytest.mark.parametrize(("side", "zeros"), [(224, 3), (227, 0), (63, 0), (64, 3), (65, 2)])
def test_the_last_window_hangs_over_on_the_right_and_below(side, zeros):
    x = torch.randn(1, 3, side, side)
    assert torch.equal(CeilPad(11, 4)(x), nn.functional.pad(x, (0, zeros, 0, zeros)))


@pytest.mark.parametrize("size", range(63, 101))
def test_every_size_has_room_for_every_layer(fake, size):
    assert AlexNet((1, size, size), 10)(torch.zeros(2, 1, size, size)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(3, 62, 62), (3, 8, 8), (3, 224, 256), (1, 63, 62)])
def test_small_and_oblong_images_are_refused(shape):
    with pytest.raises(InputError, match=f"63 pixels, not {shape[1]}×{shape[2]}"):
        AlexNet(shape, 10)


@pytest.mark.parametrize("groups", [0, 3])
def test_other_groups_are_refused(groups):
    with pytest.raises(AssertionError, match=f"groups={groups}"):
        AlexNet(SHAPE, 10, groups=groups)


@pytest.fixture(scope="module")
def small() -> AlexNet:
    """With the paper's start; at 71 pixels fc6 has one input for each of the 256 maps of conv5."""
    torch.manual_seed(0)
    return AlexNet((3, 71, 71), 10).eval()


@pytest.mark.parametrize("name", NAMES)
def test_weights_start_as_in_the_paper(small, name):
    layer = getattr(small, name)
    layer = layer if isinstance(layer, nn.Linear) else next(m for m in layer if hasattr(m, "weight"))
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert layer.weight.mean().item() == pytest.approx(0, abs=2e-4)
    ones = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
    assert layer.bias.unique().tolist() == [float(ones)]


def gradient_from_first_outputs(block: nn.Module, channels: int) -> torch.Tensor:
    """Of the first half of a convolution's maps, summed over everything but its input maps."""
    convolution = next(m for m in block if isinstance(m, nn.Conv2d))
    x = torch.randn(1, channels, 7, 7, requires_grad=True)
    convolution(x)[:, : convolution.out_channels // 2].sum().backward()
    return x.grad.abs().sum((0, 2, 3))


@pytest.mark.parametrize(("name", "channels"), [("conv2", 96), ("conv4", 384), ("conv5", 384)])
def test_the_two_gpus_see_their_own_maps_only(small, name, channels):
    gradient = gradient_from_first_outputs(getattr(small, name), channels)
    assert (gradient[: channels // 2] > 0).all()
    assert not gradient[channels // 2 :].any()


def test_conv3_sees_the_maps_of_both_gpus(small):
    assert (gradient_from_first_outputs(small.conv3, 256) > 0).all()


@pytest.mark.parametrize("size", [64, 96])
def test_a_real_forward_pass_beside_torchs_own_layers(size):
    """The same weights in a network of torch's modules only, padded by hand."""
    torch.manual_seed(0)
    net = AlexNet((1, size, size), 10, init="kaiming").eval()
    x = torch.randn(2, 1, size, size)
    c1, c2, c3, c4, c5, f6, f7, f8 = (m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    over = -(size - 11) % 4
    norm, pool = nn.LocalResponseNorm(5, alpha=5e-4, k=2.0), nn.MaxPool2d(3, 2, ceil_mode=True)
    with torch.no_grad():
        maps = pool(norm(c1(nn.functional.pad(x, (0, over, 0, over))).relu()))
        maps = pool(norm(c2(maps).relu()))
        maps = pool(c5(c4(c3(maps).relu()).relu()).relu())
        expected = f8(f7(f6(maps.flatten(1)).relu()).relu())
        torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)
