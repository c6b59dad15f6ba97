"""What ten crops and the errors of each step cost, beside the network's own work."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.job import job
from benchmarks.measure import Measure, in_turn, quotients
from trainlab.metrics import ClassificationMetrics
from trainlab.optim import train_step

BATCH = 16  # pictures; ten views of each


def ten_crops(overrides: list[str], rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    """The test step of AlexNet on ten crops, uint8 pictures to averaged predictions, against ten forward passes."""
    this = job(overrides)
    net, augment = this.net.eval(), this.data.augmentation
    assert augment is not None
    images = this.data.sets.train.some(torch.arange(BATCH)).to(this.device)
    one = augment.test(images)

    @torch.inference_mode()
    def forwards() -> None:
        with this.autocast():
            for _ in range(10):
                net(one)
        this.synchronise()

    @torch.inference_mode()
    def evaluation() -> None:
        with this.autocast():
            outputs = torch.stack([net(view) for view in augment.test_views(images)])
            this.loss.predict(outputs).mean(0)
        this.synchronise()

    seconds, alone = in_turn([evaluation, forwards], rounds)
    on_progress("ten crops")
    return [Measure("ten-crop evaluation against ten forward passes", quotients(seconds, alone), "×", ("≤", 1.05))]


def metrics(overrides: list[str], rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    """The errors of a step against the whole step."""
    this = job(overrides)
    train, augment, optimizer = this.data.sets.train, this.data.augmentation, this.optimizer()
    ids = torch.arange(this.batch_size)
    assert augment is not None
    images = augment.train(train.some(ids), ids, torch.zeros_like(ids), seed=0, epoch=0).to(this.device)
    labels = train.labels[ids].to(this.device)
    errors = ClassificationMetrics(len(this.data.classes)).to(this.device)
    with torch.no_grad(), this.autocast():
        outputs = this.net(images)
        error = this.loss(outputs, labels)
    times = 20

    def steps() -> None:
        for _ in range(times):
            with this.autocast():
                train_step(this.net, this.loss, optimizer, images, labels)
        this.synchronise()

    def updates() -> None:
        for _ in range(times):
            errors.queue(outputs, labels, error)
        errors.flush()
        this.synchronise()

    updating, stepping = in_turn([updates, steps], rounds)
    on_progress("metrics")
    share = [100 * share for share in quotients(updating, stepping)]
    return [Measure(f"metrics of a step, {this.cfg.model.name} on {this.cfg.data.name}", share, "%", ("≤", 2.0))]
