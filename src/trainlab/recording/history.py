"""A run's numbers over time: one row an epoch, in metrics.csv, in W&B and in the checkpoint."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from pydantic import ConfigDict, TypeAdapter

from trainlab.errors import RunError
from trainlab.recording.progress_bar import ProgressBar

ROWS = TypeAdapter(list[dict[str, float]], config=ConfigDict(strict=True))  # in a checkpoint, which anybody may write


class History(Checkpoint):
    """Collects the module's ``row`` of each epoch and gives it to the file, the listeners (W&B) and the terminal.

    The rows are in the checkpoint too, so that a resumed run's file and curves begin at the beginning.
    It is a `Checkpoint` callback only because Lightning calls those after the module's own hooks, and in
    the order given: History first, then what writes the checkpoints that hold it.
    """

    def __init__(self, path: Path | None, progress: ProgressBar) -> None:
        self.path, self.progress = path, progress
        self.rows: list[dict[str, float]] = []
        self.columns: list[str] = []
        self.listeners: list[Callable[[dict[str, float]], None]] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A resumed run's file begins as the checkpoint knows it: what was written after that did not happen."""
        if self.rows and trainer.is_global_zero and self.path is not None:
            self.write(self.path, self.rows[-1])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "images_seen": self.progress.all_images,
            "training_seconds": self.progress.training_seconds,
            **pl_module.row,  # type: ignore[dict-item]
            "images_per_second": self.progress.images_per_second,
        }
        self.rows.append(row)
        if trainer.is_global_zero and self.path is not None:
            self.write(self.path, row)
        for listener in self.listeners:
            listener(row)
        self.progress.epoch_done(trainer, row)

    def write(self, path: Path, row: dict[str, float]) -> None:
        """Append the row; when it has a column the file has not, write the file anew.

        Raises RunError when the disk is full.
        """
        columns = [*self.columns, *(name for name in row if name not in self.columns)]
        new = columns != self.columns
        try:
            with open(path, "w" if new else "a", newline="") as file:
                writer = csv.DictWriter(file, columns)
                if new:
                    writer.writeheader()
                writer.writerows(self.rows if new else [row])
        except OSError as error:
            raise RunError(f"{path} cannot be written ({error.strerror or error}).") from error
        self.columns = columns

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = TypeAdapter(list[dict[str, float]], config=ConfigDict(strict=True)).validate_python(
            state_dict["rows"]
        )
        self.columns = []
