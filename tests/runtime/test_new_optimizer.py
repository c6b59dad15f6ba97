"""An optimizer is added by a file of conf/optim that names its class; it then trains, is saved and is resumed."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.nn.functional import cross_entropy

from trainlab.command import main
from trainlab.command.main import compose_run, without_hydra
from trainlab.configuration import build
from trainlab.errors import InputError
from trainlab.optim import GradientDescent, Momentum, numbers_per_weight
from trainlab.runtime.assembly import assemble, optimizer_of
from trainlab.survival import checkpoint
from trainlab.training import train

ADAM = """\
# Adam (Kingma and Ba, 2015), torch's own.
name: adam
_target_: torch.optim.Adam
lr: 0.01
betas: [0.8, 0.95]
eps: 1e-6
schedule: constant
"""
EPOCHS, L2 = 6, 0.01
WORDS = [
    *("optim=adam", "data.batch_size=null", f"reg.l2={L2}", "logger=none", "trainer=cpu", "trainer.precision=float32"),
    *("trainer.validate_every=1", "seed=3"),
]


@pytest.fixture
def adam(tmp_path, monkeypatch):
    """conf/ with one more file."""
    conf = tmp_path / "conf"
    shutil.copytree(main.CONF, conf)
    (conf / "optim" / "adam.yaml").write_text(ADAM)
    for module in (main, build):
        monkeypatch.setattr(module, "CONF", conf)
    monkeypatch.setitem(main.GROUPS, "optim", [*main.GROUPS["optim"], "adam"])
    build.targets.cache_clear()
    yield
    build.targets.cache_clear()


def composed(*words):
    return without_hydra(compose_run([*WORDS, *words]))


@pytest.mark.run
def test_a_new_optimizer_trains_is_saved_and_resumed(adam, tmp_path):
    """As a loop over torch's own class: full batches, so that the order of the examples is no matter."""
    train(composed(f"trainer.max_epochs={EPOCHS // 2}"), tmp_path / "first")
    train(composed(f"trainer.max_epochs={EPOCHS}", f"ckpt={tmp_path / 'first'}"), tmp_path / "second")
    ended = checkpoint.read(str(tmp_path / "second"))
    assert ended.progress.epochs == EPOCHS

    torch.manual_seed(3)
    parts = assemble(composed())
    net, labels = parts.net, parts.data.sets.train.labels
    inputs = parts.data.training_inputs()
    weights = [p for p in net.parameters() if p.ndim > 1]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.8, 0.95), eps=1e-6)
    before = [p.detach().clone() for p in net.parameters()]
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        (cross_entropy(net(inputs), labels) + L2 / 2 * sum(w.square().sum() for w in weights)).backward()
        optimizer.step()
    expected = net.state_dict()
    for name, found in ended.weights.items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-6)
    assert all((p - b).abs().max() > 0.03 for p, b in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("optim.eps=small", "optim.eps=small cannot be used: it should be a number"),
        ("optim.betas=[0.9,often]", "should be a list of 2 in brackets, each of its items a number"),
        ("optim.betas=[0.9,1.5]", "optim=adam cannot be used .*beta"),
        ("+optim.gamma=0.9", "torch.optim.Adam cannot be made: got an unexpected keyword argument 'gamma'"),
    ],
)
def test_its_options_are_those_of_its_class(adam, word, sentence):
    with pytest.raises(InputError, match=sentence):
        assemble(composed(word))


def test_the_memory_of_a_weight_follows_the_optimizer(adam):
    assert numbers_per_weight(GradientDescent) == 0
    assert numbers_per_weight(Momentum) == 1
    assert numbers_per_weight(optimizer_of(composed().optim)) == 2
