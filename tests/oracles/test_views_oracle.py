"""Ten views against torchvision's TenCrop, enlargement against torch's, the generator against splitmix64's numbers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from trainlab.augment import ChannelStatistics, NoAugmentation, TenCrop, _mix

# stored, size, min_size: rooms of 1, 1, 2, 3, 4, 5 and 12 pixels; the last three are enlarged first
SIZES = [
    (8, None, 1),
    (10, None, 1),
    (16, None, 1),
    (24, None, 1),
    (32, None, 1),
    (33, 28, 1),
    (40, 28, 1),
    (8, None, 20),
    (8, None, 63),
    (20, 28, 1),
]


def ten_crop(stored: int, size: int | None, min_size: int, channels: int, **kwargs: object) -> TenCrop:
    statistics = ChannelStatistics(torch.linspace(0.2, 0.6, channels))
    return TenCrop(stored, statistics=statistics, size=size, min_size=min_size, **kwargs)


def pictures(channels: int, side: int, count: int = 3) -> torch.Tensor:
    return torch.randint(256, (count, channels, side, side), dtype=torch.uint8)


def expected_views(views: TenCrop, images: torch.Tensor, channels: int) -> torch.Tensor:
    """torchvision's, of images enlarged by torch and less the mean."""
    floats = images.float()
    if images.shape[-1] != views.resize_to:
        floats = F.interpolate(floats, (views.resize_to, views.resize_to), mode="bilinear", align_corners=False)
    floats = floats / 255 - torch.linspace(0.2, 0.6, channels).view(1, channels, 1, 1)
    return torch.stack(v2.TenCrop(views.size)(floats))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stored", "size", "min_size"), SIZES)
def test_test_views_are_torchvisions(stored, size, min_size, channels):
    views, images = ten_crop(stored, size, min_size, channels), pictures(channels, stored)
    found = views.test_views(images)
    assert found.shape == (10, 3, channels, views.size, views.size)
    torch.testing.assert_close(found, expected_views(views, images, channels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stored", "size", "min_size"), SIZES)
def test_training_views_are_torchvisions(stored, size, min_size, channels):
    views, images = ten_crop(stored, size, min_size, channels), pictures(channels, stored, count=1)
    found = views.train(images.expand(10, -1, -1, -1), torch.zeros(10).long(), torch.arange(10), seed=0, epoch=0)
    torch.testing.assert_close(found, expected_views(views, images, channels)[:, 0], atol=1e-5, rtol=0)


def test_views_of_a_mixed_batch_are_torchvisions():
    views, images = ten_crop(33, 28, 1, 3), pictures(3, 33, count=6)
    which = torch.tensor([9, 0, 7, 4, 4, 2])
    found = views.train(images, torch.arange(6), which, seed=0, epoch=0)
    torch.testing.assert_close(found, expected_views(views, images, 3)[which, range(6)], atol=1e-5, rtol=0)


def test_without_reflections_there_are_torchvisions_first_five():
    views, images = ten_crop(32, None, 1, 1, reflections=False), pictures(1, 32)
    assert (views.views, views.train_views) == (5, 5)
    torch.testing.assert_close(views.test_views(images), expected_views(views, images, 1)[:5], atol=1e-5, rtol=0)


def test_the_one_test_view_is_torchvisions_centre():
    views, images = ten_crop(33, 28, 1, 3), pictures(3, 33)
    torch.testing.assert_close(views.test(images), expected_views(views, images, 3)[4], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("stored", "side"), [(8, 9), (8, 72), (5, 13)])
def test_enlargement_is_linear_between_pixel_centres(stored, side):
    """The oracle interpolates rows, then columns, with numpy.interp, which holds the edge beyond the last centre."""
    augmentation = NoAugmentation(stored, statistics=ChannelStatistics(torch.zeros(1)), min_size=side)
    image = pictures(1, stored, count=1)
    where = (np.arange(side) + 0.5) * stored / side - 0.5
    rows = np.stack([np.interp(where, np.arange(stored), row) for row in image[0, 0].numpy()])
    expected = np.stack([np.interp(where, np.arange(stored), column) for column in rows.T]).T / 255
    np.testing.assert_allclose(augmentation.test(image)[0, 0], expected, atol=1e-5)


def test_mix_is_splitmix64():
    """The first five outputs for seed 1234567, as published with the reference implementation's ports."""
    gamma = 0x9E3779B97F4A7C15
    states = [(1234567 + i * gamma) % 2**64 for i in range(5)]
    signed = torch.tensor([s - 2**64 if s >= 2**63 else s for s in states])
    assert [int(value) % 2**64 for value in _mix(signed)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
