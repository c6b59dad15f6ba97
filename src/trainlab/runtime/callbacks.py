"""What Lightning calls during a run: the standard set in its order, and the small ones that end it or watch over it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from omegaconf import DictConfig

from trainlab.classifier import diverged
from trainlab.configuration.schema import refuse_idle_processes
from trainlab.errors import InputError
from trainlab.metrics import TOP_K
from trainlab.recording.recorder import Recorder
from trainlab.recording.run_directory import CHECKPOINTS
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.debugging import MustLearn
from trainlab.runtime.plan import Plan
from trainlab.survival.checkpoint import SaveBest, Saved, SaveLast
from trainlab.survival.interruption import Interruption

STEPS_BETWEEN_LOOKS = 50  # on a GPU, where looking at the loss waits for it


class Standard(NamedTuple):
    """The callbacks of every run. best: keeps the checkpoint of the least trainer.monitor; None where that is never
    measured. every: all of them, in the order in which Lightning is to call them.
    """

    best: SaveBest | None
    last: SaveLast
    interruption: Interruption
    every: list[Callback]


def callbacks_of(parts: Assembly, plan: Plan, recorder: Recorder, resumed: Saved | None) -> Standard:
    """The callbacks of a run. Raises InputError for a monitor that says nothing, and for more processes than there
    are examples.
    """
    cfg, sets = parts.cfg, parts.data.sets
    refuse_silent_monitor(cfg.trainer.monitor, len(parts.data.classes))
    refuse_idle_processes(cfg.trainer, validation=len(sets.val), test=len(sets.test))
    folder = recorder.run_dir / CHECKPOINTS
    best = None
    if len(sets.val) or cfg.trainer.monitor.startswith("train/"):
        best = SaveBest(folder, cfg.trainer.monitor, beside=resumed.path.parent if resumed else None)
    last = SaveLast(folder)
    interruption = Interruption(last, recorder.run_dir, cfg.trainer.save_minutes)
    # The history before the checkpoints, which hold it; the interruption after them, which it ends.
    saving = [best, last] if best is not None else [last]
    told = [recorder.throughput, recorder.progress]
    every = [Threads(plan.threads), *told, *early_ends(cfg), recorder.history, *saving, interruption]
    return Standard(best, last, interruption, every)


def refuse_silent_monitor(monitor: str, classes: int) -> None:
    """Raises InputError for a `trainer.monitor` that says nothing with so many classes."""
    if monitor.endswith("top5_error") and classes <= TOP_K:
        raise InputError(
            f"trainer.monitor={monitor} is always 0 with {classes} classes",
            option="trainer.monitor",
            value=monitor,
            hint="use top1_error",
        )


def early_ends(cfg: DictConfig) -> list[Callback]:
    """The callbacks that may end a run before its last epoch."""
    ends: list[Callback] = [NonFiniteLoss(), ValidateAtTheEnd()]
    if cfg.optim.get("tolerance") is not None:
        ends.append(FlatGradient(cfg.optim.tolerance))
    if cfg.trainer.patience is not None or cfg.trainer.target is not None:
        ends.append(
            EarlyStopping(
                cfg.trainer.monitor,
                patience=cfg.trainer.patience or cfg.trainer.max_epochs + 1,
                stopping_threshold=cfg.trainer.target,
                check_on_train_epoch_end=cfg.trainer.monitor.startswith("train/"),
                check_finite=False,
            )
        )
    if (debug := cfg.get("debug")) and debug.must_learn:
        ends.append(MustLearn())
    return ends


class NonFiniteLoss(Callback):
    """Ends the run with a RunError when the loss becomes infinite or not a number; earlier checkpoints stay."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Raises RunError for a loss that is not finite; on a GPU only every STEPS_BETWEEN_LOOKS steps, since looking
        makes the host wait.
        """
        losses = outputs["loss"]
        if losses.device.type != "cpu" and batch_idx % STEPS_BETWEEN_LOOKS:
            return
        if trainer.world_size == 1 and not math.isfinite(losses.max()):  # ranks part ways only at the end of an epoch
            raise diverged(trainer.current_epoch, trainer.optimizers[0].param_groups[0]["lr"])


class FlatGradient(Callback):
    """Batch gradient descent's stopping rule: end when ‖∇J‖₂ ≤ tolerance, L2 included."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Ask for the end of the training, with a validation, where ‖∇J‖, that of L2 included, is at most the
        tolerance.
        """
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
    """Makes the last epoch have a validation, and so a checkpoint, also where `validate_every` does not divide it."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let the last epoch end with a validation."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class Threads(Callback):
    """Sets the CPU threads of this process, after Lightning's launcher has set its own number."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set torch's threads."""
        torch.set_num_threads(self.threads)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set torch's threads."""
        torch.set_num_threads(self.threads)
