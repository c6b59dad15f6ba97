"""How a training run gets on: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from trainlab.recording.duration import duration


class ProgressBar(Callback):
    """Epoch, images/s, loss, errors and time left: a bar in a terminal, a line per epoch elsewhere.

    The bar reads the loss from the device twice a second at most, so it costs no step its speed. Runs of very
    many short epochs (full-batch gradient descent) print a line only when a second has passed.
    """

    def __init__(self, out: Console) -> None:
        self.out = out
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.start = self.epoch_start = self.last_refresh = self.last_line = 0.0
        self.first_epoch = self.images = self.all_images = 0
        self.ended = False
        self.images_per_second = self.training_seconds = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = time.perf_counter()
        self.first_epoch = trainer.current_epoch
        self.epoch_start, self.images, self.ended = self.start, 0, False
        if trainer.is_global_zero and self.out.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=self.out,
                refresh_per_second=4,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=trainer.num_training_batches, numbers="")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.epoch_start, self.images, self.ended = time.perf_counter(), 0, False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += batch.global_size
        self.ended = batch_idx + 1 == trainer.num_training_batches
        if self.ended and pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.images_per_second = self.images / max(now - self.epoch_start, 1e-9)
        if self.ended:
            self.all_images += self.images
            self.training_seconds += now - self.epoch_start
        if self.bar is not None and now - self.last_refresh > 0.5:
            self.last_refresh = now
            meter = pl_module.meter("train")  # type: ignore[operator]
            meter.settle()
            done = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
            self.bar.update(
                self.task,
                completed=batch_idx + 1,
                description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                numbers=f"{self.images_per_second:,.0f} img/s · loss {meter.loss / meter.count:.4f} · "
                f"error {meter.top1 / meter.count:.2%} · {self.left(trainer, done)} left",
            )

    def state_dict(self) -> dict[str, Any]:
        """Images and seconds so far, so that a resumed run goes on counting."""
        images, seconds = self.all_images, self.training_seconds
        if not self.ended:
            images, seconds = images + self.images, seconds + time.perf_counter() - self.epoch_start
        return {"images": images, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.all_images, self.training_seconds = state_dict["images"], state_dict["seconds"]

    @property
    def mean_images_per_second(self) -> float:
        """Over all epochs, validation and checkpoints not counted; with several views, each view is an image."""
        return self.all_images / max(self.training_seconds, 1e-9)

    def left(self, trainer: L.Trainer, done: float) -> str:
        rate = (done - self.first_epoch) / (time.perf_counter() - self.start)
        return duration(((trainer.max_epochs or 0) - done) / max(rate, 1e-9))

    def line(self, trainer: L.Trainer, row: Mapping[str, Any]) -> str:
        parts = [
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            f"{self.images_per_second:,.0f} img/s",
        ]
        for split in ("train", "val"):
            if f"{split}/loss" in row:
                error = f"{split} loss {row[f'{split}/loss']:.4f}, error {row[f'{split}/top1_error']:.2%}"
                if split == "val" and "val/top5_error" in row:
                    error += f", top-5 {row['val/top5_error']:.2%}"
                parts.append(error)
        early = trainer.should_stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0)
        return " · ".join([*parts, "stopped" if early else f"{self.left(trainer, trainer.current_epoch + 1)} left"])

    def epoch_done(self, trainer: L.Trainer, row: Mapping[str, Any]) -> None:
        """Called with the epoch's row of values."""
        now = time.perf_counter()
        last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.is_global_zero and (last or now - self.last_line > 1):
            self.last_line = now
            (self.bar.console if self.bar else self.out).print(self.line(trainer, row), soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.update(self.task, numbers="")
            self.bar.stop()
            self.bar = None
