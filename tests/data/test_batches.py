"""Batches: every pair once, the same for any number of ranks, pure in (seed, epoch)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.data.batches import BatchIndices, GlobalBatchSampler, IndexedBatches
from trainlab.data.image_set import ImageSet

quick = settings(deadline=None, derandomize=True, max_examples=80)
SETS = {"examples": st.integers(1, 60), "batch_size": st.integers(1, 70), "views": st.sampled_from([1, 2, 5, 10])}
ORDERS = {"seed": st.integers(0, 2**32 - 1), "shuffle": st.booleans(), "every_rank": st.booleans()}


def ranks(world_size: int, epoch: int = 0, **kwargs: int | bool) -> list[list[BatchIndices]]:
    """Each rank's parts of one epoch."""
    found = []
    for rank in range(world_size):
        batches = GlobalBatchSampler(**kwargs, share=(rank, world_size))
        batches.set_epoch(epoch)
        found.append(list(batches))
    return found


def global_batches(world_size: int, **kwargs: int | bool) -> list[set[int]]:
    """The counted samples of each step, over all ranks; a rank with nothing to do may have fewer steps."""
    parts, steps = ranks(world_size, **kwargs), []
    for step in range(max(map(len, parts))):
        shares = [rank[step] for rank in parts if step < len(rank)]
        steps.append({sample for part in shares for sample in part.samples[: part.size].tolist()})
    return steps


@quick
@given(world_size=st.integers(1, 4), **SETS, **ORDERS)
def test_each_pair_is_used_once_an_epoch(world_size, **kwargs):
    counted = [p for rank in ranks(world_size, **kwargs) for part in rank for p in part.samples[: part.size].tolist()]
    assert sorted(counted) == list(range(kwargs["examples"] * kwargs["views"]))


@quick
@given(world_size=st.integers(2, 4), **SETS, **ORDERS)
def test_global_batches_do_not_depend_on_the_number_of_ranks(world_size, **kwargs):
    kwargs["every_rank"] = True
    assert global_batches(world_size, **kwargs) == global_batches(1, **kwargs)


@quick
@given(world_size=st.integers(1, 4), **SETS, **ORDERS)
def test_batches_are_of_the_asked_size_but_the_last(world_size, **kwargs):
    kwargs["every_rank"] = True
    sizes = [len(step) for step in global_batches(world_size, **kwargs)]
    pairs, size = kwargs["examples"] * kwargs["views"], kwargs["batch_size"]
    assert sizes == [size] * (pairs // size) + [pairs % size] * (pairs % size > 0)


@quick
@given(world_size=st.integers(1, 4), **SETS, **ORDERS)
def test_counts(world_size, **kwargs):
    kwargs["every_rank"] = True
    for step in zip(*ranks(world_size, **kwargs), strict=True):
        assert {part.global_size for part in step} == {sum(part.size for part in step)}
        assert max(part.size for part in step) - min(part.size for part in step) <= 1
        assert all(len(part.samples) == max(part.size, 1) for part in step)


@quick
@given(world_size=st.integers(1, 4), rank=st.integers(0, 3), **SETS, **ORDERS)
def test_length_is_the_number_of_batches(world_size, rank, **kwargs):
    batches = GlobalBatchSampler(**kwargs, share=(rank % world_size, world_size))
    assert len(batches) == len(list(batches))


@quick
@given(world_size=st.integers(1, 4), epoch=st.integers(0, 1000), **SETS, **ORDERS)
def test_an_epoch_is_a_pure_function(world_size, epoch, **kwargs):
    torch.manual_seed(0)
    first = ranks(world_size, epoch, **kwargs)
    torch.manual_seed(1)
    second = ranks(world_size, epoch, **kwargs)
    for one, other in zip(first, second, strict=True):
        assert [part.samples.tolist() for part in one] == [part.samples.tolist() for part in other]


@quick
@given(together=st.integers(2, 20), skipped=st.integers(0, 80), **SETS)
def test_batches_given_out_together_are_the_same_ones(together, skipped, **kwargs):
    """Also where an epoch is gone on with: the joints stay where they are, so that Lightning's count of them fits."""
    kwargs |= {"seed": 3, "shuffle": True, "every_rank": True}
    alone, joined = GlobalBatchSampler(**kwargs), GlobalBatchSampler(**kwargs, steps_per_execution=together)
    assert len(joined) == -(-len(alone) // together) == len(list(joined))
    skipped %= len(alone)  # an epoch that is done is not gone on with
    alone.skip(skipped)
    joined.skip(skipped)
    parts = list(joined)
    assert len(parts) == len(joined) - skipped // together
    batches = [samples.tolist() for part in parts for samples in part.samples.split(part.step_size)]
    assert batches == [part.samples.tolist() for part in alone]


def test_a_batch_knows_its_steps():
    slices = IndexedBatches(ImageSet(torch.zeros(9, 2), torch.zeros(9).long(), ("a",)))
    batches = GlobalBatchSampler(9, 2, every_rank=True, steps_per_execution=3)
    assert [slices[part].steps for part in batches] == [3, 2]


def test_an_epoch_can_be_gone_through_twice():
    batches = GlobalBatchSampler(20, 6, shuffle=True)
    assert [part.samples.tolist() for part in batches] == [part.samples.tolist() for part in batches]


def test_a_rank_without_work_gets_a_stand_in_that_does_not_count():
    (*_, last), (*_, stand_in) = ranks(2, examples=9, batch_size=4, every_rank=True)
    assert (last.size, last.global_size) == (1, 1)
    assert (stand_in.size, stand_in.global_size, len(stand_in.samples)) == (0, 1, 1)


def test_in_evaluation_a_rank_without_work_gets_no_batch():
    assert [len(parts) for parts in ranks(2, examples=9, batch_size=4, every_rank=False)] == [3, 2]


def test_each_seed_and_epoch_has_an_order_of_its_own():
    orders = set()
    for seed in range(20):
        batches = GlobalBatchSampler(50, 50, seed=seed, shuffle=True)
        for epoch in range(20):
            batches.set_epoch(epoch)
            orders.add(tuple(batches.order().tolist()))
    assert len(orders) == 400


def test_without_shuffling_pairs_come_in_order():
    batches = GlobalBatchSampler(4, 3, views=2, seed=5)
    batches.set_epoch(7)
    assert [part.samples.tolist() for part in batches] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_shuffling_puts_every_pair_everywhere():
    batches, places = GlobalBatchSampler(5, 5, shuffle=True), torch.zeros(5, 5)
    for epoch in range(1000):
        batches.set_epoch(epoch)
        places[batches.order(), range(5)] += 1
    assert ((places > 140) & (places < 260)).all()  # 200 ± 4.7 standard deviations


@pytest.mark.parametrize("views", [1, 2, 5, 10])
def test_slices_are_the_rows_of_the_pairs(views):
    images = (
        torch.arange(6).to(torch.uint8).view(6, 1, 1, 1).expand(6, 3, 2, 2).clone(memory_format=torch.channels_last)
    )
    slices = IndexedBatches(ImageSet(images, torch.arange(6) * 7, tuple("abcdef")), views)
    pairs = torch.randperm(6 * views)
    batch = slices[BatchIndices(pairs, 6 * views, 6 * views, 6 * views)]
    expected = [divmod(pair, views) for pair in pairs.tolist()]
    assert list(zip(batch.ids.tolist(), batch.views.tolist(), strict=True)) == expected
    assert batch.inputs[:, 0, 0, 0].tolist() == [example for example, _ in expected]
    assert batch.labels.tolist() == [7 * example for example, _ in expected]


@pytest.mark.parametrize("channels", [1, 3])
def test_slices_and_selections_keep_the_channels_last(channels):
    """Their bytes are those of numpy's (N, H, W, C)."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, channels), dtype=np.uint8)
    whole = ImageSet(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.arange(6), tuple("abcdef"))
    some = torch.tensor([4, 1])
    for found in (IndexedBatches(whole)[BatchIndices(some, 2, 2, 2)].inputs, whole.take(some).images):
        assert found.shape == (2, channels, 4, 4)
        assert found.untyped_storage().tolist() == pixels[[4, 1]].ravel().tolist()


def test_images_with_their_channels_first_are_refused():
    with pytest.raises(AssertionError, match="channels last"):
        ImageSet(torch.zeros(6, 3, 4, 4, dtype=torch.uint8), torch.arange(6), tuple("abcdef"))


def test_slices_pass_the_counts_on():
    slices = IndexedBatches(ImageSet(torch.zeros(4, 2), torch.zeros(4).long(), ("a",)))
    batch = slices[BatchIndices(torch.tensor([3]), 0, 5, 4)]
    assert (batch.size, batch.global_size, batch.step_size) == (0, 5, 4)


def test_slices_do_not_share_memory_with_the_set():
    images = ImageSet(torch.zeros(4, 2), torch.zeros(4).long(), ("a",))
    IndexedBatches(images)[BatchIndices(torch.arange(4), 4, 4, 4)].inputs.fill_(1)
    assert not images.images.any()
