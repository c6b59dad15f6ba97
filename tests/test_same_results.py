"""What is fast computes what is plain: a run's losses beside those of a loop that is written for reading only."""

from __future__ import annotations

import csv
import math
import os
import shutil

import pytest
import torch
import torch.nn.functional as F
from whole_runs import bare_trainer

from trainlab.augment import uniform
from trainlab.classifier import Classifier, Recipe
from trainlab.command.main import compose_run
from trainlab.data.batches import GlobalBatchSampler
from trainlab.objective import L2
from trainlab.runtime.assembly import assemble

pytestmark = pytest.mark.run

EPOCHS = 10
OPTIONS = [
    "data.reflections=true",
    "optim=momentum",
    "optim.schedule=cosine",
    "trainer=cpu",
    "trainer.precision=float32",
    f"trainer.max_epochs={EPOCHS}",
    "logger=csv",
]


def assembled(*options):
    cfg = compose_run(list(options))
    torch.manual_seed(cfg.seed)
    return assemble(cfg)


def seen(images, ids, augmentation, epoch):
    """float32: the mean subtracted, padded, cut and turned picture by picture."""
    pictures = images[ids].float() / 255 - augmentation.mean[:, None, None]
    if augmentation.resize_to != images.shape[-1] or not hasattr(augmentation, "padding"):
        return pictures
    room, side = augmentation.padding, augmentation.size
    cut = []
    places = uniform(ids, 3, seed=0, epoch=epoch).T
    for picture, (top, left, mirror) in zip(F.pad(pictures, [room] * 4), places, strict=True):
        top, left = int(top * (2 * room + 1)), int(left * (2 * room + 1))
        window = picture[:, top : top + side, left : left + side]
        cut.append(window.flip(-1) if mirror < 0.5 else window)
    return torch.stack(cut)


@pytest.mark.parametrize("options", [["model=convnet", "aug=crop_flip"], ["model=mlp", "aug=none", "reg=l2"]])
def test_over_100_steps_the_losses_are_those_of_a_plain_loop(train, options):
    run = train(*options, *OPTIONS)
    assert run.status == 0, run.err
    theirs = [float(row["train/loss"]) for row in csv.DictReader((run.folder / "metrics.csv").open())]

    this = assembled(*options, *OPTIONS)
    images, labels = this.data.sets.train.images, this.data.sets.train.labels
    batches = GlobalBatchSampler(len(images), this.data.batch_size, seed=0, shuffle=True)
    weights = list(this.net.parameters())
    velocities = [torch.zeros_like(w) for w in weights]
    steps, done, expected = EPOCHS * len(batches), 0, []
    assert steps >= 100
    for epoch in range(EPOCHS):
        batches.set_epoch(epoch)
        summed = 0.0
        for part in batches:
            loss = F.cross_entropy(
                this.net(seen(images, part.samples, this.data.augmentation, epoch)), labels[part.samples]
            )
            summed += loss.item() * part.size
            gradients = torch.autograd.grad(loss, weights)
            lr = this.cfg.optim.lr * 0.5 * (1 + math.cos(math.pi * done / steps))
            with torch.no_grad():
                for w, v, g in zip(weights, velocities, gradients, strict=True):
                    decay = this.cfg.reg.l2 if w.ndim > 1 else 0.0
                    v.copy_(this.cfg.optim.momentum * v + lr * (g + decay * w))
                    w -= v
            done += 1
        expected.append(summed / len(images))
    assert theirs == pytest.approx(expected, rel=1e-5)
    assert theirs[-1] < 0.95 * theirs[0]


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="torch.compile finds no C++ compiler")
def test_compiled_steps_have_the_same_losses(train):
    plain, compiled = (train("model=mlp", *OPTIONS, f"trainer.compile={on}") for on in ("false", "true"))
    assert compiled.status == 0, compiled.err
    assert plain.rows[-1]["step"] >= 100
    assert [row["train/loss"] for row in compiled.rows] == pytest.approx(
        [row["train/loss"] for row in plain.rows], rel=1e-5
    )


def test_a_machine_without_a_compiler_is_told_in_a_sentence(train, tmp_path):
    run = train(
        "model=mlp",
        *OPTIONS,
        "trainer.compile=true",
        figures=True,
        CXX="/nowhere/c++",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path),
    )
    assert run.status == 1
    assert "Traceback" not in run.err
    assert "trainer.compile=true, but torch cannot compile here" in run.err


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_steps_given_to_the_loop_together_are_the_same_steps(tmp_path, precision):
    """To the bit, dropout and bfloat16's rounded weights included."""
    weights = []
    for together in (1, 5):
        this = assembled("model=mlp", "reg=dropout", *OPTIONS, f"trainer.precision={precision}")
        this.data.steps_per_execution = together
        classifier = Classifier(this.net, this.loss, Recipe(L2(examples=1), this.make_optimizer), classes=10)
        trainer = bare_trainer(tmp_path, max_epochs=2, precision=this.hardware.precision)
        trainer.fit(classifier, this.data)
        assert trainer.num_training_batches == -(-this.data.train_batches // together)
        assert trainer.global_step == 2 * this.data.train_batches
        weights.append(torch.cat([w.detach().flatten() for w in this.net.parameters()]))
    assert torch.equal(*weights)
