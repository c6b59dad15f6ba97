"""Whole runs for the tests: each in a fresh process, as a user starts them; and a trainer for those within one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """What a command came to."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def results(self) -> dict:
        return json.loads((self.folder / "results.json").read_text())

    @property
    def rows(self) -> list[dict[str, float]]:
        with open(self.folder / "metrics.csv", newline="") as file:
            return [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]

    @property
    def numbers(self) -> list[dict[str, float]]:
        """The rows without what the clock says."""
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "training_seconds")} for row in self.rows
        ]


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python WORDS…` in the repository, without an account, a terminal or anything to type on."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "HYDRA_", "LOCAL_RANK"))}
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env=inherited | {"NETRC": os.devnull, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )


def bare_trainer(folder: Path, **options: Any) -> L.Trainer:
    """Lightning's trainer on a CPU with nothing beside the training."""
    return L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
