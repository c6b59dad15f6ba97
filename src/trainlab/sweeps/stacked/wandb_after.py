"""The W&B run of a point of a stack, recorded once it is trained: one service records them all, one after another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainlab.recording import wandb_run
from trainlab.sweeps.stacked.member import Member


def record(
    run_dir: Path,
    member: Member,
    rows: Sequence[Mapping[str, float]],
    results: Mapping[str, Any] | None,
    figures: Mapping[str, Path],
) -> None:
    """Record a point as its own run would have. results: None where it failed. Never raises what goes wrong in W&B."""
    for begun in run_dir.glob(wandb_run.OFFLINE):  # by an earlier process, which was killed
        if not any(begun.glob("*.synced")):
            shutil.rmtree(begun)
    run = wandb_run.start_run(run_dir, member.cfg)
    if run is None:
        return
    wandb_run.log_layers(run, member.plan.layers)
    for row in rows:
        wandb_run.log_row(run, row)
    if results is not None:
        wandb_run.log_end(run, run_dir, member.cfg, results, figures)
    wandb_run.finish(run, results)
