"""Asked to stop: SIGTERM, SIGUSR1, Ctrl-C, or a closed terminal (SIGHUP, but not under `nohup`). The state is saved and
the run ends with a status that means "resume me".

Also saves within long epochs, so that a run that is killed without being asked loses minutes, not hours.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Checkpoint

from trainlab.errors import StoppedError
from trainlab.survival.checkpoint import SaveLast
from trainlab.survival.signals import resume_hint, stopped

SAVE, STOP = 1, 2  # what the ranks agree on after a batch; the greater wins


class Interruption(Checkpoint):
    """Saves and ends the run when it is asked to stop: between two batches, on all ranks after the same batch.

    It is a `Checkpoint` callback so that Lightning calls it after the others; give it last. last: writes the
    checkpoints, also every `save_minutes` within an epoch.
    """

    def __init__(self, last: SaveLast, run_dir: Path, save_minutes: float) -> None:
        self.last, self.run_dir, self.save_seconds = last, run_dir, 60 * save_minutes
        self.asked: int | None = None  # the signal
        self.between_batches = False  # whether the end of a batch is near, so that the handler need only take note
        self.saved_at = time.monotonic()
        self.group: Any = None

    def alone(self, trainer: L.Trainer) -> None:
        """Take out Lightning's own SIGTERM handler, which runs a collective call inside the signal and can so
        deadlock the other ranks.
        """
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals that ask the run to stop: written down between two batches, where the next batch
        ends the run; elsewhere it raises StoppedError at once, as a second Ctrl-C does.
        """
        again = self.asked is not None
        self.asked = number
        if not self.between_batches or (again and number == signal.SIGINT):
            raise self.interrupted("")

    def interrupted(self, where: str) -> StoppedError:
        """The error that ends the run, which says how to go on. where: how far the training came."""
        kept = resume_hint(self.run_dir) if self.last.exists else ""
        return stopped(self.asked or signal.SIGTERM, where + kept)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on a stop waits for the next batch's end; one that was asked for before ends the run now, with
        StoppedError.
        """
        # Flags travel on a group of their own: on a GPU they would wait for the computation.
        self.group = dist.new_group(backend="gloo") if trainer.world_size > 1 else None
        self.between_batches = True
        if self.asked is not None:
            raise self.interrupted("")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a rank was asked to stop or the time has come; raises StoppedError for a stop."""
        if batch_idx + 1 == trainer.num_training_batches:
            return  # the end of the epoch comes next
        wanted = self.agreed()
        if not wanted:
            return
        self.last.save(trainer)
        self.saved_at = time.monotonic()
        if wanted == STOP:
            done = f"{pl_module.batches_done} of {trainer.datamodule.train_batches} batches"  # type: ignore[attr-defined]
            raise self.interrupted(f" in epoch {trainer.current_epoch + 1}, after {done}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save where it is asked for and the epoch has not saved; raises StoppedError for a stop, unless the training
        is over.
        """
        wanted = self.agreed()
        if wanted and not self.last.is_of_now(trainer):
            self.last.save(trainer)
        if wanted or self.last.is_of_now(trainer):
            self.saved_at = time.monotonic()
        if wanted == STOP and not trainer.should_stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise self.interrupted(f" after epoch {trainer.current_epoch + 1}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Raises StoppedError where a stop was asked for after the last batch."""
        self.between_batches = False
        if self.agreed() == STOP:
            raise self.interrupted(" after the training, before the test")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """A signal no longer waits for the end of a batch, which does not come."""
        self.between_batches = False

    def agreed(self) -> int:
        """What all ranks do after this batch: 0 (go on), SAVE or STOP. A collective call."""
        late = time.monotonic() - self.saved_at > self.save_seconds
        wanted = STOP if self.asked is not None else SAVE if late else 0
        if self.group is None:
            return wanted
        flag = torch.tensor(wanted)
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self.group)
        return int(flag)
