"""Cutting sets apart: scikit-learn's cut wherever it has one, and a fair one where classes are too small for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.model_selection import train_test_split

from trainlab.data.image_set import (
    RELABELLED,
    TEST,
    UNCUT,
    VAL,
    DataSplits,
    ImageSet,
    cut,
    relabel_train,
    split,
    subsample_train,
)
from trainlab.data.sources import points
from trainlab.errors import InputError

COUNTS = st.lists(st.integers(0, 12), min_size=1, max_size=12).filter(any)  # of each class; 0: it has no example
FRACTIONS = st.floats(0.001, 0.999)


def labels_of(counts: list[int], seed: int = 0) -> torch.Tensor:
    labels = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.random.RandomState(seed).permutation(labels))


def numbered(labels: torch.Tensor) -> ImageSet:
    """Points whose only coordinate is their index."""
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    return ImageSet(torch.arange(len(labels), dtype=torch.float32)[:, None], labels, classes)


def scikit_learns(labels: torch.Tensor, part: float | int, seed: int) -> tuple[list[int], list[int]] | None:
    everything = np.arange(len(labels))
    try:
        kept, away = train_test_split(everything, test_size=part, random_state=seed, stratify=labels.numpy())
    except ValueError:
        return None
    return sorted(kept.tolist()), sorted(away.tolist())


@given(COUNTS, FRACTIONS, st.integers(0, 3))
def test_a_cut_is_scikit_learns_or_leaves_small_classes_whole(counts, fraction, seed):
    labels = labels_of(counts, seed)
    theirs = scikit_learns(labels, fraction, seed)
    try:
        kept, away = cut(labels, fraction, seed, VAL)
    except InputError as refused:
        sentence = str(refused)
        assert theirs is None
        assert sentence.startswith(f"cannot cut a fraction of {fraction:g} from {len(labels)} examples of ")
        assert "data.val_fraction" in sentence
        large = [n for n in counts if n > 1]
        assert math.ceil(fraction * sum(large)) > sum(n - 1 for n in large) or not large
        return
    if theirs is not None:
        assert (kept.tolist(), away.tolist()) == theirs
        return
    assert sorted([*kept.tolist(), *away.tolist()]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    assert away.tolist() == sorted(away.tolist())
    cut_away = torch.bincount(labels[away], minlength=len(counts)).tolist()
    large = sum(n for n in counts if n > 1)
    assert sum(cut_away) == math.ceil(fraction * large)
    for taken, count in zip(cut_away, counts, strict=True):
        assert taken < count or taken == count == 0, "a class was cut away whole"
    again = cut(labels, fraction, seed, VAL)
    assert torch.equal(again[0], kept)
    assert torch.equal(again[1], away)


@given(COUNTS, st.integers(1, 150))
def test_fewer_training_examples_are_as_many_as_asked_and_of_every_class(counts, asked):
    labels = labels_of(counts)
    sets = DataSplits(numbered(labels), numbered(labels), numbered(labels))
    classes = sum(n > 0 for n in counts)
    if not classes <= asked <= len(labels):
        with pytest.raises(InputError, match=rf"data\.train_examples={asked} is "):
            subsample_train(sets, asked)
        return
    train = subsample_train(sets, asked).train
    theirs = scikit_learns(labels, asked, 0)
    if theirs is not None:
        assert train.images[:, 0].tolist() == theirs[1]
    elif asked < len(labels):
        assert len(train.labels.unique()) == classes
    assert len(train) == len(train.images.unique()) == asked


def test_the_share_of_every_class_is_the_same_as_far_as_it_can_be():
    labels = labels_of([1, 100, 50, 1, 10])
    _, away = cut(labels, 0.2, 0, VAL)
    assert torch.bincount(labels[away], minlength=5).tolist() == [0, 20, 10, 0, 2]
    # Fewer are cut than there are classes: chance and not the alphabet says which of them give one.
    labels = labels_of([10] * 1000)
    _, away = cut(labels, 0.01, 0, VAL)
    assert len(away) == len(labels[away].unique()) == 100
    assert 300 < labels[away].double().mean() < 700


def test_how_many_classes_stay_whole_is_noted():
    whole = numbered(labels_of([1, 20, 20, 1, 2]))
    splits = split(whole, test_fraction=0.2, val_fraction=0.1, split_seed=0)
    here = [set(part.labels.tolist()) for part in (splits.train, splits.val, splits.test)]
    assert here[0] == {0, 1, 2, 3, 4}
    assert splits.notes == {UNCUT: len({0, 1, 2, 3, 4} - (here[1] & here[2]))}
    assert splits.notes[UNCUT] >= 3
    assert split(whole, test=whole, test_fraction=0.2, val_fraction=0, split_seed=0).notes == {}
    assert split(numbered(labels_of([20, 20])), test_fraction=0.2, val_fraction=0.1, split_seed=0).notes == {}


@pytest.mark.parametrize(
    ("counts", "fraction", "option", "sentence"),
    [
        ([1, 1, 1], 0.1, VAL, "of 3 classes: no class has two; add examples, or set data.val_fraction=0."),
        ([1, 1, 1], 0.1, TEST, "of 3 classes: no class has two; add examples."),
        ([2, 2], 0.8, TEST, "every class keeps one for training; set data.test_fraction to at most 0.5."),
        ([3, 3, 3], 0.9, VAL, "set data.val_fraction to at most 0.66."),
    ],
)
def test_what_cannot_be_cut_is_a_sentence_with_the_way_out(counts, fraction, option, sentence):
    with pytest.raises(InputError) as error:
        cut(labels_of(counts), fraction, 0, option)
    assert sentence in str(error.value)


@given(st.integers(10, 30), st.floats(0.01, 0.99), st.floats(0, 0.99), st.integers(0, 3))
def test_points_of_the_plane_are_cut_or_refused_in_a_sentence(n_samples, test_fraction, val_fraction, seed):
    options = {"n_samples": n_samples, "test_fraction": test_fraction, "val_fraction": val_fraction}
    try:
        splits = points.moons(**options, split_seed=seed)
    except InputError as refused:
        sentence = str(refused)
        assert "data." in sentence
        assert "\n" not in sentence
        return
    assert len(splits.train) + len(splits.val) + len(splits.test) == n_samples
    assert splits.train.images.isfinite().all()


@given(COUNTS, st.floats(0, 0.999), st.integers(0, 2**32 - 1))
def test_label_noise_replaces_that_share_by_other_classes_and_more_of_it_only_adds(counts, share, seed):
    labels = labels_of(counts)
    sets = DataSplits(*(numbered(labels),) * 3)
    if int(labels.max()) == 0:
        if share:
            with pytest.raises(InputError, match="there are none"):
                relabel_train(sets, share, seed)
        return
    noisy, more = relabel_train(sets, share, seed), relabel_train(sets, (1 + share) / 2, seed)
    changed = noisy.train.labels != labels
    assert int(changed.sum()) == round(share * len(labels)) == noisy.notes.get(RELABELLED, 0)
    assert torch.equal(noisy.train.labels, relabel_train(sets, share, seed).train.labels)
    assert torch.equal(more.train.labels[changed], noisy.train.labels[changed])
    assert noisy.val is sets.val
    assert noisy.test is sets.test
    assert noisy.train.images is sets.train.images
    assert set(noisy.train.labels.tolist()) <= set(range(int(labels.max()) + 1))


def test_the_wrong_labels_are_all_other_classes_alike():
    labels = labels_of([9000] * 4)
    noisy = relabel_train(DataSplits(*(numbered(labels),) * 3), 0.5, seed=3).train.labels
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (labels.numpy(), noisy.numpy()), 1)
    wrong = confusion[~np.eye(4, dtype=bool)]
    assert wrong.sum() == 18_000
    assert chisquare(wrong).pvalue > 1e-3
    assert chisquare(confusion.diagonal()).pvalue > 1e-3
