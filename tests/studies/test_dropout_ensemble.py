"""Masks: torch's own dropout, enumeration by hand, Jensen, 1/K; and that testing switches dropout off."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.studies import dropout_ensemble as studied
from trainlab.studies.dropout_ensemble import study


def small_net(p=0.5, hidden=(6, 5), seed=0):
    torch.manual_seed(seed)
    return MLP((4,), 3, hidden=hidden, dropout=p)


@pytest.mark.parametrize("training", [True, False])
def test_masked_is_torchs_own_dropout(training):
    """The masks that nn.Dropout drew for one pass, given to `masked`; the mode of the modules does not matter then."""
    net, inputs, masks = small_net(0.3), torch.randn(7, 4), []
    hooks = [
        m.register_forward_hook(lambda m, x, y: masks.append(y != 0))
        for m in net.modules()
        if isinstance(m, nn.Dropout)
    ]
    one = inputs[:1]  # one example, so one mask a layer
    expected = net.train()(one).log_softmax(-1)
    for hook in hooks:
        hook.remove()
    net.train(training)
    found = studied.masked(net.layers, one, masks)  # an activation of 0 has a mask of its own, and is 0 either way
    assert found.shape == (1, 1, 3)
    torch.testing.assert_close(found[0], expected.detach())


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 6), p=st.floats(0.1, 0.8), seed=st.integers(0, 100))
def test_stacked_masks_are_single_passes(count, p, seed):
    net, inputs = small_net(p, seed=seed), torch.randn(3, 4)
    masks = studied.draw_masks(net.layers, p, count, torch.Generator().manual_seed(seed))
    assert [m.shape for m in masks] == [(count, 6), (count, 5)]
    stacked = studied.masked(net.layers, inputs, masks)
    first, second, last = (m for m in net.layers if isinstance(m, nn.Linear))
    for k in range(count):
        x = first(inputs).relu() * masks[0][k] / (1 - p)
        x = second(x).relu() * masks[1][k] / (1 - p)
        torch.testing.assert_close(stacked[k], last(x).log_softmax(-1).detach(), rtol=1e-4, atol=1e-5)


def test_masks_differ_and_passes_in_evaluation_mode_do_not():
    net, inputs = small_net(hidden=(64, 64)), torch.randn(50, 4)
    logs = studied.ensemble(net.eval(), inputs, 0.5, 8, torch.Generator().manual_seed(0))
    assert (logs.exp().var(0).sum(1) > 0).all()
    torch.testing.assert_close(net(inputs), net(inputs), rtol=0, atol=0)


@pytest.mark.run  # Lightning's trainer
def test_lightning_switches_dropout_off_in_testing():
    """The trap that the study avoids: K "stochastic" passes of Trainer.predict are K times the same."""
    import lightning as L
    from torch.utils.data import DataLoader

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = small_net()

        def predict_step(self, batch, index):
            return torch.stack([self.net(batch) for _ in range(5)])

    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    inputs = torch.randn(6, 4)
    (passes,) = trainer.predict(Module().train(), DataLoader(inputs, batch_size=6))
    assert (passes == passes[0]).all()
    logs = studied.ensemble(small_net(), inputs, 0.5, 5, torch.Generator().manual_seed(0))
    assert not (logs == logs[0]).all()


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_scaled_weights_are_the_geometric_mean_of_softmax_regression(p):
    """numpy, mask by mask: ∏ p_m^P(m), normalised."""
    random = np.random.default_rng(0)
    weights, bias, x = random.normal(size=(4, 6)), random.normal(size=4), random.normal(size=6)

    def softmax(scores):
        return np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()

    product = np.ones(4)
    for kept in itertools.product([0, 1], repeat=6):
        chance = np.prod([1 - p if k else p for k in kept])
        product *= softmax(weights @ (x * kept / (1 - p)) + bias) ** chance
    expected = product / product.sum()
    np.testing.assert_allclose(expected, softmax(weights @ x + bias), atol=1e-12)

    linear = nn.Linear(6, 4).double()
    linear.weight.data, linear.bias.data = torch.from_numpy(weights), torch.from_numpy(bias)
    masks, chances = studied.every_mask(6, p)
    assert len(masks) == 64
    assert chances.sum() == pytest.approx(1)
    logs = studied.masked([nn.Dropout(p), linear], torch.from_numpy(x)[None], [masks])
    np.testing.assert_allclose(studied.geometric_mean(logs, 0, chances).exp()[0].numpy(), expected, atol=1e-12)


def test_a_hidden_layer_more_breaks_the_equality():
    """So the oracle can fail: with dropout before a ReLU layer the geometric mean is not the scaled network."""
    torch.manual_seed(0)
    first, second = nn.Linear(6, 5).double(), nn.Linear(5, 3).double()
    x = torch.randn(4, 6).double()
    masks, chances = studied.every_mask(6, 0.5)
    logs = studied.masked([nn.Dropout(0.5), first, nn.ReLU(), second], x, [masks])
    scaled = second(first(x).relu()).softmax(-1).detach()
    assert (studied.geometric_mean(logs, 0, chances).exp() - scaled).abs().max() > 1e-3


@settings(max_examples=20, deadline=None)
@given(count=st.integers(2, 9), seed=st.integers(0, 1000))
def test_log_loss_of_the_mean_is_at_most_the_mean_of_the_log_losses(count, seed):
    torch.manual_seed(seed)
    logs = (4 * torch.randn(2 * count, 5, 3)).double().log_softmax(-1)
    labels = torch.arange(5) % 3
    assert studied.excess_of_mean(logs, labels, count) <= 1e-12
    assert studied.excess_of_mean(logs, labels, 1) == pytest.approx(0, abs=1e-12)
    expected = logs.exp().mean(0).log()
    torch.testing.assert_close(studied.arithmetic_mean(logs, 0), expected)


def test_variance_of_means_of_masks_falls_as_one_over_k():
    """By a hand-written enumeration of the pairs of four masks, and of the study's own triples."""
    torch.manual_seed(0)
    layers = [nn.Dropout(0.4), nn.Linear(12, 3).double()]
    x = torch.randn(5, 12).double()
    assert studied.variance_gap(layers, x, 0.4) < 1e-12
    values = [0.1, 0.4, 0.7, 0.2]
    pairs = [np.mean(pair) for pair in itertools.product(values, repeat=2)]
    assert np.var(pairs) == pytest.approx(np.var(values) / 2, rel=1e-12)


def test_a_network_whose_masks_do_nothing_would_be_noticed(monkeypatch):
    def everything(layers, p, count, generator):
        return [torch.ones(count, m.out_features, dtype=torch.bool) for m in layers if isinstance(m, nn.Linear)][:-1]

    monkeypatch.setattr(studied, "draw_masks", everything)
    finding = study(epochs=1, masks=4, networks=1, hidden=[8])
    assert {oracle.name for oracle in finding.oracles if not oracle.holds} == {"masks_differ"}


def test_error_and_log_loss_by_hand():
    logs = torch.tensor([[[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.8], [0.9, 0.1]]]).log()
    error, loss = studied.error_and_loss(logs, torch.tensor([0, 0]))
    np.testing.assert_allclose(error, [0.5, 0.5])
    np.testing.assert_allclose(loss, [-np.log([0.7, 0.4]).mean(), -np.log([0.2, 0.9]).mean()], rtol=1e-6)


def test_without_dropout_all_curves_are_flat():
    finding = study(dropout=0.0, epochs=1, masks=5, networks=1, hidden=[8])
    for kind in ("arithmetic", "geometric"):
        for what in ("top1_error", "loss"):
            values = [finding.numbers[f"{kind}/K={count}/{what}"] for count in (1, 2, 5)]
            assert values == pytest.approx([finding.numbers[f"scaled/{what}"]] * 3, abs=1e-6)
    assert all(oracle.holds for oracle in finding.oracles)
    assert "masks_differ" not in {oracle.name for oracle in finding.oracles}
    assert all(make() is not None for make in finding.section.figures.values())


def test_all_oracles_hold_in_both_languages():
    small = {"epochs": 3, "masks": 20, "networks": 2, "hidden": [16, 16]}
    findings = [study(**small, lang=lang) for lang in ("en", "es")]
    names = {"scaled_weights", "variance", "loss_of_mean", "flat_without_dropout", "masks_differ"}
    for finding in findings:
        assert {oracle.name for oracle in finding.oracles} == names
        assert all(oracle.holds for oracle in finding.oracles)
        assert all(make() is not None for make in finding.section.figures.values())
    assert findings[0].numbers == pytest.approx(findings[1].numbers, nan_ok=True, rel=1e-12)
    assert findings[0].section.sentences != findings[1].section.sentences


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": []},
        {"hidden": [0]},
        {"hidden": [1_000_000]},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"masks": 0},
        {"masks": 100_000},
        {"epochs": 0},
        {"networks": 0},
        {"seed": -1},
    ],
)
def test_wrong_options_are_sentences(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        study(**wrong)


@pytest.mark.run
def test_a_single_mask_has_no_variance_to_draw():
    finding = studied.study(hidden=[8], epochs=1, masks=1, networks=1)
    assert {name: make() is None for name, make in finding.section.figures.items()} == {
        "dropout_ensemble": False,
        "dropout_members": True,
    }
