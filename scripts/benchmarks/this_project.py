"""`python train.py …`, the whole of it: metrics, progress bar, validation, checkpoints, W&B offline."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.job import device_memory_mb
from benchmarks.pace import Pace, Paced
from trainlab.command.main import compose_run, without_hydra
from trainlab.runtime.process import keep_freed_memory
from trainlab.training import train

FOREVER = 100_000  # epochs; the benchmark ends the run


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Only the number of epochs and where it writes differ from what a user types."""
    keep_freed_memory()
    if torch.cuda.is_available():
        pace.synchronise, pace.memory = torch.cuda.synchronize, device_memory_mb
    own = [f"trainer.max_epochs={FOREVER}", "logger=wandb", "logger.mode=offline"]
    train(without_hydra(compose_run([*overrides, *own])), folder / "run", callbacks=[Paced(pace)])
