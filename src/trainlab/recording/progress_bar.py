"""How a training run gets on: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from trainlab.recording.history import Throughput
from trainlab.recording.terminal import duration


class ProgressBar(Callback):
    """Epoch, images/s, loss, errors and time left: a bar in a terminal, a line per epoch elsewhere.

    The bar reads the loss from the device twice a second at most, so it costs no step its speed. Runs of very
    many short epochs (full-batch gradient descent) print a line only when a second has passed.
    """

    def __init__(self, out: Console, throughput: Throughput) -> None:
        self.out, self.throughput = out, throughput
        self.trainer: L.Trainer | None = None
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.start = self.last_refresh = self.last_line = 0.0
        self.first_epoch = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar, on a terminal, and remember when and where the training began."""
        self.trainer, self.start, self.first_epoch = trainer, time.perf_counter(), trainer.current_epoch
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

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Bring the bar up to date, at most twice a second."""
        if self.bar is None:
            return
        now = time.perf_counter()
        if now - self.last_refresh > 0.5:
            self.last_refresh = now
            metrics = pl_module.metrics_of("train")  # type: ignore[operator]
            metrics.flush()
            done = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
            self.bar.update(
                self.task,
                completed=batch_idx + 1,
                description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                numbers=f"{self.throughput.images_per_second:,.0f} img/s · loss {metrics.loss / metrics.count:.4f} · "
                f"error {metrics.top1 / metrics.count:.2%} · {self.left(trainer, done)} left",
            )

    def left(self, trainer: L.Trainer, done: float) -> str:
        """How long the rest of the training takes at the pace so far, such as "0:02". done: epochs, with a fraction."""
        rate = (done - self.first_epoch) / (time.perf_counter() - self.start)
        return duration(((trainer.max_epochs or 0) - done) / max(rate, 1e-9))

    def line(self, trainer: L.Trainer, row: Mapping[str, Any]) -> str:
        """The epoch's numbers on one line. row: as in metrics.csv."""
        parts = [
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            f"{self.throughput.images_per_second:,.0f} img/s",
        ]
        for split in ("train", "val"):
            if f"{split}/loss" in row:
                error = f"{split} loss {row[f'{split}/loss']:.4f}, error {row[f'{split}/top1_error']:.2%}"
                if split == "val" and "val/top5_error" in row:
                    error += f", top-5 {row['val/top5_error']:.2%}"
                parts.append(error)
        early = trainer.should_stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0)
        return " · ".join([*parts, "stopped" if early else f"{self.left(trainer, trainer.current_epoch + 1)} left"])

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        """Called with the epoch's row of values."""
        trainer = self.trainer
        assert trainer is not None
        now = time.perf_counter()
        last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.is_global_zero and (last or now - self.last_line > 1):
            self.last_line = now
            (self.bar.console if self.bar else self.out).print(self.line(trainer, row), soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the bar away."""
        self.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the error stands alone."""
        self.close()

    def close(self) -> None:
        """Take the bar away, if it is shown."""
        if self.bar is not None:
            self.bar.update(self.task, numbers="")
            self.bar.stop()
            self.bar = None
