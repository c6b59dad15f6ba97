"""What watches a run: a flat gradient or a loss that is no number ends it, the last epoch is validated."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from trainlab.classifier import diverged

STEPS_BETWEEN_LOOKS = 50  # on a GPU, where looking at the loss waits for it


class NonFiniteLoss(Callback):
    """Ends the run with a RunError when the loss becomes infinite or NaN; the checkpoints of before stay."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        losses = outputs["loss"]
        if losses.device.type != "cpu" and batch_idx % STEPS_BETWEEN_LOOKS:
            return
        if trainer.world_size == 1 and not math.isfinite(losses.max()):  # ranks part ways only at the end of an epoch
            raise diverged(trainer.current_epoch, trainer)


class FlatGradient(Callback):
    """Batch gradient descent's stopping rule: end when ‖∇J‖₂ ≤ tolerance, L2 included."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [
            parameter.grad + group["weight_decay"] * parameter.detach()
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if torch.nn.utils.get_total_norm(gradients) <= self.tolerance:
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1


class ValidateAtTheEnd(Callback):
    """The last epoch has a validation, and so a checkpoint, also when `validate_every` does not divide it."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class Threads(Callback):
    """Sets the CPU threads of this process, after Lightning's launcher has set its own number."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        torch.set_num_threads(self.threads)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        torch.set_num_threads(self.threads)
