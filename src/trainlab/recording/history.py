"""A run's numbers over time: one row an epoch, in metrics.csv, in W&B and in the checkpoint."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from pydantic import ConfigDict, TypeAdapter

from trainlab.survival.atomic import written

ROWS = TypeAdapter(list[dict[str, float]], config=ConfigDict(strict=True))  # in a checkpoint, which anybody may write


def columns_of(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The columns of metrics.csv: whatever any epoch has, in the order in which they came."""
    return list(dict.fromkeys(name for row in rows for name in row))


def metrics_text(rows: Iterable[Mapping[str, float]], columns: Sequence[str], *, header: bool = True) -> str:
    """The lines of metrics.csv for these epochs; what an epoch has not is left empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return out.getvalue()


class Throughput(Callback):
    """Counts images and the seconds of training, so that a resumed run goes on counting.

    images_per_second: of this epoch so far. all_images, training_seconds: of all epochs that have ended; validation and
    checkpoints are not counted. With several views, each view is an image.
    """

    state_key = "ProgressBar"  # its place in checkpoints, where the progress bar once kept these numbers

    def __init__(self) -> None:
        self.images = self.all_images = 0
        self.epoch_start = self.images_per_second = self.training_seconds = 0.0
        self.ended = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.epoch_start, self.images, self.ended = time.perf_counter(), 0, False

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock anew at an epoch's first batch."""
        if batch_idx == 0:
            self.epoch_start, self.images, self.ended = time.perf_counter(), 0, False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; at the epoch's end, once the GPU has done its work, add the epoch to the sums."""
        self.images += batch.global_size
        self.ended = batch_idx + 1 == trainer.num_training_batches
        if self.ended and pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.epoch_start
        self.images_per_second = self.images / max(seconds, 1e-9)
        if self.ended:
            self.all_images += self.images
            self.training_seconds += seconds

    @property
    def mean_images_per_second(self) -> float:
        """Images per second of training, over all epochs and earlier processes of the run."""
        return self.all_images / max(self.training_seconds, 1e-9)

    def state_dict(self) -> dict[str, Any]:
        """Images seen and seconds of training so far, those of an epoch that is not over included."""
        images, seconds = self.all_images, self.training_seconds
        if not self.ended:
            images, seconds = images + self.images, seconds + time.perf_counter() - self.epoch_start
        return {"images": images, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what an earlier process of the run has counted."""
        self.all_images, self.training_seconds = state_dict["images"], state_dict["seconds"]


class History(Checkpoint):
    """Collects the module's ``row`` of each epoch and gives it to the file and the listeners (the terminal, W&B).

    late_listeners are given what a resumed run's checkpoint has, too.

    The rows are in the checkpoint too, so that a resumed run's file and curves begin at the beginning.
    It is a `Checkpoint` callback only because Lightning calls those after the module's own hooks, and in
    the order given: History first, then what writes the checkpoints that hold it.
    """

    def __init__(self, path: Path | None, throughput: Throughput) -> None:
        self.path, self.throughput = path, throughput
        self.rows: list[dict[str, float]] = []
        self.columns: list[str] = []
        self.listeners: list[Callable[[dict[str, float]], None]] = []
        self.late_listeners: list[Callable[[dict[str, float]], None]] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A resumed run's file begins as the checkpoint knows it: what was written after that did not happen."""
        if self.rows and trainer.is_global_zero and self.path is not None:
            self.write(self.path, self.rows[-1])
        for listener in self.late_listeners:
            for row in self.rows:
                listener(row)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make the epoch's row, append it to metrics.csv on the first rank, and hand it to the listeners."""
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "images_seen": self.throughput.all_images,
            "training_seconds": self.throughput.training_seconds,
            **pl_module.row,  # type: ignore[dict-item]
            "images_per_second": self.throughput.images_per_second,
        }
        self.rows.append(row)
        if trainer.is_global_zero and self.path is not None:
            self.write(self.path, row)
        for listener in self.listeners:
            listener(row)

    def write(self, path: Path, row: dict[str, float]) -> None:
        """Append the row; when it has a column the file has not, write the file anew.

        Raises RunError when the disk is full.
        """
        columns = list(dict.fromkeys([*self.columns, *row]))
        new = columns != self.columns
        with written(path), open(path, "w" if new else "a", newline="") as file:
            file.write(metrics_text(self.rows, columns) if new else metrics_text([row], columns, header=False))
        self.columns = columns

    def state_dict(self) -> dict[str, Any]:
        """All rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the rows of a checkpoint. Raises ValidationError for rows that are no numbers by name."""
        self.rows = TypeAdapter(list[dict[str, float]], config=ConfigDict(strict=True)).validate_python(
            state_dict["rows"]
        )
        self.columns = []
