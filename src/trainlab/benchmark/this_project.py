"""`python train.py …`, the whole of it: metrics, progress bar, validation, checkpoints, W&B offline."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from trainlab.benchmark.job import device_memory_mb
from trainlab.benchmark.pace import Pace, Paced
from trainlab.command import CONF
from trainlab.training import train

FOREVER = 100_000  # epochs; the benchmark ends the run


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Only the number of epochs and where it writes differ from what a user types."""
    if torch.cuda.is_available():
        pace.synchronise, pace.memory = torch.cuda.synchronize, device_memory_mb
    own = [f"hydra.run.dir={folder / 'run'}", f"trainer.max_epochs={FOREVER}", "logger=wandb", "logger.mode=offline"]
    sys.argv = ["train.py", *overrides, *own]

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
    def main(cfg: DictConfig) -> float:
        return train(cfg, watching=[Paced(pace)])

    main()
