"""Views: which they are, their averages by hand, what a run reports of them, and Jensen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import trainlab
from trainlab.augment import TenCrop
from trainlab.data.image_set import ImageSet
from trainlab.errors import InputError
from trainlab.objective import CrossEntropy
from trainlab.studies import tencrop as studied
from trainlab.studies.tencrop import study


def some_digits(count=12):
    torch.manual_seed(0)
    images = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 3, ("a", "b", "c"))


def ten_crop():
    views = TenCrop(8)
    views.mean = torch.tensor([0.3])
    return views


def by_hand(net, images, which):
    """Softmax averaged over corners, centre and reflections cut out here; numpy."""
    scores = []
    for k in which:
        top, left = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)][k % 5]  # round(0.5) = 0 is the centre of one spare pixel
        floats = images.numpy() / 255 - 0.3
        floats = floats[..., ::-1] if k >= 5 else floats
        view = floats[..., top : top + 7, left : left + 7].reshape(len(images), -1)
        outputs = view @ net.weight.detach().numpy().T + net.bias.detach().numpy()
        p = np.exp(outputs - outputs.max(1, keepdims=True))
        scores.append(p / p.sum(1, keepdims=True))
    return np.mean(scores, axis=0)


def test_averages_are_those_of_views_cut_by_hand():
    test, net = some_digits(), torch.nn.Linear(49, 3)
    found = studied.evaluate_views(lambda view: net(view.flatten(1)), ten_crop(), CrossEntropy(), test)
    for count, which in {1: [4], 5: range(5), 10: range(10)}.items():
        mean = by_hand(net, test.images, which)
        labels = test.labels.numpy()
        assert found.errors[count] == pytest.approx((mean.argmax(1) != labels).mean())
        assert found.losses[count] == pytest.approx(-np.log(mean[np.arange(12), labels]).mean(), rel=1e-5)
    assert found.excess <= 1e-12


@settings(max_examples=20, deadline=None)
@given(views=st.integers(1, 10), seed=st.integers(0, 1000))
def test_the_loss_of_the_mean_is_at_most_the_mean_loss(views, seed):
    random = np.random.default_rng(seed)
    p = random.uniform(1e-6, 1, (views, 7))
    expected = (-np.log(p.mean(0)) + np.log(p).mean(0)).max()
    assert studied.excess_of_mean(torch.from_numpy(-np.log(p))) == pytest.approx(expected, abs=1e-12)
    assert expected <= 1e-12


def test_the_gap_is_the_largest_difference():
    tested = studied.Tested(torch.zeros(0), torch.zeros(0), {1: 0.1, 5: 0.2, 10: 0.3}, {1: 1.0, 5: 2.0, 10: 3.0}, 0.0)
    same = {"test/top1_error": 0.1, "test/loss": 1.0, "test/top1_error_tencrop": 0.3, "test/loss_tencrop": 3.0}
    assert studied.gap(same, tested, 10) == 0
    assert studied.gap(same, tested, 5) == pytest.approx(1.0)
    assert studied.gap(same | {"test/loss": 1.5}, tested, 10) == pytest.approx(0.5)


def test_networks_see_the_views_that_they_are_trained_on(monkeypatch):
    parts = studied.assemble(trainlab.compose(studied.words_of("digits", "perceptron", 100, 0)))
    seen: list[torch.Tensor] = []
    real = parts.data.augmentation.train

    def spy(images, ids, views, **rest):
        seen.append(views)
        return real(images, ids, views, **rest)

    monkeypatch.setattr(parts.data.augmentation, "train", spy)
    for views, expected in {1: {4}, 5: set(range(5)), 10: set(range(10))}.items():
        seen.clear()
        studied.train(parts, views, steps=9, seed=0)
        assert len(seen) == 9
        assert set(torch.cat(seen).tolist()) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "digit"},
        {"data": "digits,moons"},
        {"data": "moons"},
        {"data": "imagenet"},
        {"model": "resnet"},
        {"model": "mlp seed=1"},
        {"epochs": 0},
        {"runs": 0},
        {"seed": -1},
        {"train_examples": 0},
        {"train_examples": 10_000},
    ],
)
def test_wrong_options_are_sentences(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        study(**wrong)


@pytest.mark.run  # a whole run among it
def test_all_oracles_hold_in_both_languages(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    findings = [study(model="perceptron", epochs=1, runs=2, lang=lang) for lang in ("en", "es")]
    names = {"tencrop_of_a_run", "tencrop_of_these_networks", "loss_of_mean"}
    for finding in findings:
        assert {oracle.name for oracle in finding.oracles} == names
        assert all(oracle.holds for oracle in finding.oracles)
        assert all(make() is not None for make in finding.section.figures.values())
    assert findings[0].numbers == findings[1].numbers
    assert findings[0].section.sentences != findings[1].section.sentences
    assert capsys.readouterr().out == ""
    assert not any(tmp_path.iterdir())
