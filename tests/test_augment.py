"""Crops, means and draws against numpy and scipy; the ten views are checked against torchvision in oracles/."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trainlab.augment import (
    AlexNetAugmentation,
    ChannelStatistics,
    CropFlip,
    MeasuredStatistics,
    NoAugmentation,
    TenCrop,
    channel_covariance,
    channel_mean,
    crop,
    uniform,
)

quick = settings(deadline=None, derandomize=True, max_examples=40)
DRAWS = 100_000


def pictures(count: int, channels: int, side: int) -> torch.Tensor:
    return torch.randint(256, (count, channels, side, side), dtype=torch.uint8)


# ---- the mean


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 3, 5, 5), (5000, 1, 4, 4)])
def test_mean_is_numpys(shape):
    images = torch.randint(256, shape, dtype=torch.uint8)
    expected = images.numpy().mean(axis=(0, 2, 3), dtype=np.float64) / 255
    found = channel_mean(images)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_mean_of_large_white_images_does_not_overflow():
    assert channel_mean(torch.full((2, 1, 2800, 2800), 255, dtype=torch.uint8)).tolist() == [1.0]


def test_none_subtracts_numpys_mean():
    images = pictures(6, 3, 9)
    augmentation = NoAugmentation(9, statistics=MeasuredStatistics(images))
    expected = images.numpy() / 255 - images.numpy().mean(axis=(0, 2, 3), keepdims=True) / 255
    found = augmentation.train(images, torch.arange(6), torch.zeros(6).long(), seed=0, epoch=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == torch.float32
    assert torch.equal(found, augmentation.test(images))


GREY = ChannelStatistics(torch.full((3,), 0.5))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [NoAugmentation, CropFlip, TenCrop])
def test_stored_images_are_not_changed(kind, order):
    images = pictures(4, 3, 32).contiguous(memory_format=order)
    before = images.clone()
    augmentation = kind(32, statistics=GREY)
    augmentation.train(images, torch.arange(4), torch.arange(4), seed=0, epoch=0)
    augmentation.test_views(images)
    assert torch.equal(images, before)


# ---- geometry


@pytest.mark.parametrize(
    ("stored", "min_size", "expected"),
    [(256, 1, (256, 224)), (256, 63, (256, 224)), (32, 8, (32, 28)), (8, 63, (72, 63)), (8, 1, (8, 7))],
)
def test_ten_crop_geometry(stored, min_size, expected):
    assert TenCrop.geometry(stored, min_size, None) == expected


@quick
@given(stored=st.integers(1, 300), min_size=st.sampled_from([1, 8, 63]))
def test_ten_crop_never_shrinks_and_serves_the_network(stored, min_size):
    side, size = TenCrop.geometry(stored, min_size, None)
    assert side >= stored
    assert side >= size >= min_size


@pytest.mark.parametrize("min_size", [1, 8, 63])
def test_ten_crop_of_a_known_size_is_that_of_training(min_size):
    """A checkpoint is evaluated with the size it was trained at: the images must be the same."""
    for stored in range(1, 300):
        side, size = TenCrop.geometry(stored, min_size, None)
        assert TenCrop.geometry(stored, min_size, size) == (side, size)


@pytest.mark.parametrize("kind", [NoAugmentation, CropFlip])
@pytest.mark.parametrize(
    ("stored", "min_size", "size", "side"), [(32, 8, None, 32), (8, 63, None, 63), (8, 63, 70, 70)]
)
def test_other_geometry_is_the_whole_image(kind, stored, min_size, size, side):
    augmentation = kind(stored, min_size=min_size, size=size)
    assert (augmentation.resize_to, augmentation.size) == (side, side)


@pytest.mark.parametrize("kind", [NoAugmentation, CropFlip, TenCrop])
@quick
@given(data=st.data())
def test_shapes(kind, data):
    stored, channels, count = (data.draw(st.integers(low, high)) for low, high in ((1, 40), (1, 3), (1, 4)))
    grey = ChannelStatistics(torch.full((channels,), 0.5))
    augmentation = kind(stored, statistics=grey, min_size=data.draw(st.integers(1, 40)))
    images, ids = pictures(count, channels, stored), torch.arange(count)
    trained = augmentation.train(images, ids, ids % augmentation.train_views, seed=1, epoch=2)
    tested = augmentation.test_views(images)
    assert trained.shape == (count, channels, augmentation.size, augmentation.size)
    assert tested.shape == (getattr(augmentation, "views", 1), *trained.shape)
    assert augmentation.test(images).shape == trained.shape
    assert trained.dtype == tested.dtype == torch.float32
    assert max(trained.abs().max(), tested.abs().max()) <= 0.5 + 1e-6


# ---- crop_flip


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reflections", [True, False])
@pytest.mark.parametrize(("channels", "side", "padding"), [(1, 8, 4), (3, 9, 2), (3, 12, 0)])
def test_crop_flip_is_a_loop_over_images(channels, side, padding, reflections, order):
    images, ids = pictures(30, channels, side).contiguous(memory_format=order), torch.randperm(1000)[:30]
    statistics = MeasuredStatistics(images)
    augmentation = CropFlip(side, statistics=statistics, padding=padding, reflections=reflections)
    found = augmentation.train(images, ids, torch.zeros(30).long(), seed=3, epoch=5)

    mean = images.numpy().mean(axis=(0, 2, 3))
    draws = uniform(ids, 3, seed=3, epoch=5).numpy()
    for i, image in enumerate(images.numpy()):
        padded = np.stack(
            [np.pad(c.astype(float), padding, constant_values=m) for c, m in zip(image, mean, strict=True)]
        )
        top, left = (int(draw * (2 * padding + 1)) for draw in draws[:2, i])
        expected = padded[:, top : top + side, left : left + side]
        if reflections and draws[2, i] < 0.5:
            expected = expected[:, :, ::-1]
        np.testing.assert_allclose(found[i], (expected - mean[:, None, None]) / 255, atol=1e-6)


ORDERS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("kind", [NoAugmentation, CropFlip, TenCrop, AlexNetAugmentation])
@pytest.mark.parametrize("min_size", [1, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_memory_order_is_the_one_asked_for_and_changes_no_bit(kind, min_size, channels):
    """Of the result; and that of the stored images changes nothing either."""
    images, ids = pictures(9, channels, 16), torch.arange(9)
    found = []
    for order in ORDERS:
        augmentation = kind(16, statistics=MeasuredStatistics(images), min_size=min_size, memory_format=order)
        for stored in ORDERS:
            given = images.contiguous(memory_format=stored)
            trained = augmentation.train(given, ids, ids % 10, seed=0, epoch=0)
            assert trained.is_contiguous(memory_format=order)
            assert augmentation.test(given).is_contiguous(memory_format=order)
            found.append((trained, augmentation.test_views(given)))
    for trained, views in found[1:]:
        assert torch.equal(trained, found[0][0])
        assert torch.equal(views, found[0][1])


@pytest.mark.parametrize("measure", [channel_mean, channel_covariance])
def test_the_memory_order_changes_no_bit_of_the_statistics(measure):
    images = pictures(300, 3, 8)
    assert torch.equal(measure(images), measure(images.contiguous(memory_format=torch.channels_last)))


def test_crop_flip_puts_a_pixel_everywhere_as_often():
    """An image of one white pixel, left of the middle, shows how it was shifted and whether it was reflected."""
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[..., 4, 2] = 255
    augmentation = CropFlip(9, statistics=ChannelStatistics(torch.zeros(1)), padding=1)
    n = 3600
    found = augmentation.train(image.expand(n, -1, -1, -1), torch.arange(n), torch.zeros(n).long(), seed=0, epoch=0)
    counts = found.sum((0, 1)).numpy()
    reached = counts[3:6][:, [1, 2, 3, 5, 6, 7]]  # three rows; three columns, and their reflections
    assert reached.sum() == n
    assert stats.chisquare(reached.ravel()).pvalue > 1e-3


def test_crop_flips_test_view_is_the_image():
    images = pictures(4, 3, 8)
    statistics = MeasuredStatistics(images)
    augmentation, plain = CropFlip(8, statistics=statistics), NoAugmentation(8, statistics=statistics)
    assert torch.equal(augmentation.test(images), plain.test(images))
    assert augmentation.test_views(images).shape == (1, 4, 3, 8, 8)


@quick
@given(side=st.integers(1, 12), data=st.data())
def test_crop_is_numpys_slice(side, data):
    size = data.draw(st.integers(1, side))
    places = st.lists(st.tuples(*[st.integers(0, side - size)] * 2, st.booleans()), min_size=1, max_size=4)
    where = data.draw(places)
    images = pictures(len(where), 2, side)
    top, left, mirrored = (torch.tensor(column) for column in zip(*where, strict=True))
    found = crop(images, top, left, mirrored, size)
    for image, view, (y, x, mirror) in zip(images.numpy(), found.numpy(), where, strict=True):
        expected = image[:, y : y + size, x : x + size]
        np.testing.assert_array_equal(view, expected[:, :, ::-1] if mirror else expected)


# ---- ten crops, one of them in training


def test_one_view_is_drawn_anew_in_each_epoch():
    images, ids = pictures(1, 1, 16).expand(500, -1, -1, -1), torch.arange(500)
    augmentation = TenCrop(16, statistics=ChannelStatistics(torch.zeros(1)), train_views="one")
    assert augmentation.train_views == 1
    views = augmentation.test_views(images[:1])[:, 0]

    def drawn(epoch: int) -> torch.Tensor:
        batch = augmentation.train(images, ids, torch.zeros(500).long(), seed=0, epoch=epoch)
        return (batch[:, None] == views).flatten(2).all(2).float().argmax(1)

    first, second = drawn(0), drawn(1)
    assert stats.chisquare(np.bincount(first, minlength=10)).pvalue > 1e-3
    assert 0.02 < (first == second).float().mean() < 0.2


def test_all_views_stand_for_ten_examples():
    assert TenCrop(16).train_views == 10


def test_an_unknown_number_of_views_is_refused():
    with pytest.raises(AssertionError, match="train_views=two"):
        TenCrop(16, train_views="two")


# ---- uniform


@pytest.fixture(scope="module", params=[(0, 0), (0, 1), (7, 0), (123456789, 89)], ids=str)
def draws(request) -> np.ndarray:
    seed, epoch = request.param
    return uniform(torch.arange(DRAWS), 2, seed=seed, epoch=epoch).numpy()


def test_draws_are_uniform(draws):
    for row in draws:
        assert row.mean() == pytest.approx(0.5, abs=0.005)
        assert row.var() == pytest.approx(1 / 12, abs=0.002)
        assert stats.kstest(row, "uniform").pvalue > 1e-3
        assert stats.chisquare(np.histogram(row, 256, (0, 1))[0]).pvalue > 1e-3


def test_draws_of_one_example_are_independent(draws):
    assert stats.chi2_contingency(np.histogram2d(*draws, 16)[0]).pvalue > 1e-3


@pytest.mark.parametrize("lag", [1, 2, 32, 1024])
def test_draws_of_neighbouring_examples_are_independent(draws, lag):
    for earlier, later in ((0, 0), (0, 1), (1, 0)):
        pair = draws[earlier, :-lag], draws[later, lag:]
        assert stats.chi2_contingency(np.histogram2d(*pair, 16)[0]).pvalue > 1e-3


@pytest.mark.parametrize("other", [{"seed": 0, "epoch": 1}, {"seed": 1, "epoch": 0}, {"seed": 1, "epoch": 1}], ids=str)
def test_draws_of_epochs_and_seeds_are_independent(other):
    ids = torch.arange(DRAWS)
    pair = uniform(ids, 1, seed=0, epoch=0)[0].numpy(), uniform(ids, 1, **other)[0].numpy()
    assert stats.chi2_contingency(np.histogram2d(*pair, 16)[0]).pvalue > 1e-3


def test_an_examples_draws_are_uniform_over_epochs():
    rows = np.stack([uniform(torch.arange(20), 2, seed=0, epoch=epoch).numpy() for epoch in range(500)])
    assert stats.kstest(rows.ravel(), "uniform").pvalue > 1e-3
    for earlier, later in pairwise(rows.reshape(500, -1).T[:6]):
        assert abs(stats.spearmanr(earlier, later).statistic) < 0.2


def test_each_seed_and_epoch_has_draws_of_its_own():
    ids = torch.arange(4)
    seen = {tuple(uniform(ids, 1, seed=s, epoch=e)[0].tolist()): (s, e) for s in range(30) for e in range(30)}
    assert len(seen) == 900


@quick
@given(
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=20),
    draws=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 10_000),
)
def test_a_draw_does_not_depend_on_its_company(ids, draws, seed, epoch):
    whole = uniform(torch.tensor(ids), draws, seed=seed, epoch=epoch)
    assert whole.shape == (draws, len(ids))
    assert whole.dtype == torch.float32
    assert ((whole >= 0) & (whole < 1)).all()
    for i, example in enumerate(ids):
        assert torch.equal(uniform(torch.tensor([example]), draws, seed=seed, epoch=epoch)[:, 0], whole[:, i])


def test_drawing_leaves_torchs_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    uniform(torch.arange(10), 3, seed=0, epoch=0)
    assert torch.equal(torch.get_rng_state(), state)


# ---- AlexNet's training views


def alexnet_views(stored: int = 32, covariance: torch.Tensor | None = None, **options: object) -> AlexNetAugmentation:
    covariance = COVARIANCE if covariance is None else covariance
    statistics = ChannelStatistics(torch.full((3,), 0.4), covariance)
    return AlexNetAugmentation(stored, statistics=statistics, **options)


SPREAD = torch.tensor([[0.30, 0.02, 0.0], [0.25, -0.05, 0.03], [0.20, 0.04, 0.02]], dtype=torch.float64)
COVARIANCE = SPREAD @ SPREAD.T


def shifts(views: AlexNetAugmentation, count: int, epoch: int = 0) -> np.ndarray:
    """What is added to the colours of images of one colour."""
    grey = torch.full((count, 3, 32, 32), 102, dtype=torch.uint8)  # the mean
    seen = views.train(grey, torch.arange(count), torch.zeros(count).long(), seed=0, epoch=epoch)
    assert torch.equal(seen, seen[..., :1, :1].expand_as(seen)), "one draw for all pixels of an image"
    return seen[..., 0, 0].double().numpy()


@pytest.mark.parametrize("shape", [(40, 3, 9, 9), (700, 1, 4, 4), (3, 2, 5, 5)])
def test_covariance_is_numpys(shape):
    images = torch.randint(256, shape, dtype=torch.uint8)
    colours = images.numpy().transpose(1, 0, 2, 3).reshape(shape[1], -1) / 255
    np.testing.assert_allclose(channel_covariance(images), np.cov(colours, bias=True), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("unit", ["deviation", "eigenvalue"])
def test_colour_noise_over_ten_thousand_draws(unit):
    """Along numpy's eigenvectors, independent, with 0.1 λ for a standard deviation, and normal."""
    found = shifts(alexnet_views(colour_unit=unit), 10_000)
    eigenvalues, vectors = np.linalg.eigh(COVARIANCE.numpy())
    expected = 0.1 * (eigenvalues if unit == "eigenvalue" else np.sqrt(eigenvalues))
    along = found @ vectors
    np.testing.assert_allclose(along.std(0), expected, rtol=0.03)
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.04
    assert np.abs(along.mean(0) / expected).max() < 0.04
    for column, scale in zip(along.T, expected, strict=True):
        assert stats.kstest(column / scale, "norm").pvalue > 1e-3


def test_colour_noise_is_drawn_anew_in_each_epoch_and_can_end():
    views = alexnet_views(colour_until=2)
    assert not np.array_equal(shifts(views, 5, epoch=0), shifts(views, 5, epoch=1))
    assert np.abs(shifts(views, 5, epoch=2)).max() < 1e-6
    assert np.abs(shifts(alexnet_views(colour=0), 5)).max() < 1e-6


def test_a_set_of_one_colour_has_no_noise():
    assert np.abs(shifts(alexnet_views(covariance=torch.full((3, 3), -1e-18).double()), 5)).max() < 1e-6


def places(views: AlexNetAugmentation, count: int) -> list[tuple[int, int]]:
    """Where the crops were taken, told from images that hold their coordinates."""
    rows = torch.arange(32, dtype=torch.uint8)[:, None].expand(32, 32)
    image = torch.stack([rows, rows.T, rows])
    seen = views.train(image.expand(count, 3, 32, 32), torch.arange(count), torch.arange(count), seed=0, epoch=0)
    seen = ((seen + views.mean[:, None, None]) * 255).round().int()
    return list(zip(seen[:, 0].amin((1, 2)).tolist(), seen[:, 1].amin((1, 2)).tolist(), strict=True))


def test_crops_are_everywhere_alike():
    views = alexnet_views(colour=0)
    found = places(views, 5000)
    room = views.resize_to - views.size
    assert room == 4
    counts = np.array([[found.count((top, left)) for left in range(room + 1)] for top in range(room + 1)])
    assert counts.sum() == 5000
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_neighbours_may_share_the_place_of_their_crops():
    found = places(alexnet_views(colour=0, shared_crops=4), 64)
    groups = [set(found[i : i + 4]) for i in range(0, 64, 4)]
    assert all(len(group) == 1 for group in groups)
    assert len(set(found)) > 5


def test_alexnets_test_views_are_the_ten_crops():
    images = pictures(4, 3, 32)
    ten, views = TenCrop(32, statistics=ChannelStatistics(torch.full((3,), 0.4))), alexnet_views()
    assert torch.equal(views.test_views(images), ten.test_views(images))
    assert views.train_views == 1


def test_a_draw_depends_on_the_example_and_not_on_its_company():
    images, views = pictures(6, 3, 32), alexnet_views(shared_crops=2)
    together = views.train(images, torch.arange(6), torch.zeros(6).long(), seed=3, epoch=1)
    alone = views.train(images[4:5], torch.tensor([4]), torch.zeros(1).long(), seed=3, epoch=1)
    torch.testing.assert_close(together[4:5], alone, rtol=0, atol=1e-6)
