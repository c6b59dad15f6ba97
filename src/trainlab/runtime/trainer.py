"""Lightning's Trainer, with nothing on that this project does by itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from trainlab.runtime.assembly import Assembly
from trainlab.runtime.hardware import Hardware
from trainlab.runtime.plan import Plan
from trainlab.runtime.ranks import environment
from trainlab.survival.checkpoint import AtomicCheckpoints, Saved

LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric")  # Lightning's own


def make_trainer(
    parts: Assembly, plan: Plan, run_dir: Path, callbacks: Sequence[Callback], resumed: Saved | None
) -> L.Trainer:
    """Lightning's Trainer for a run. callbacks: in the order in which they are to be called. resumed: the checkpoint
    that the run goes on from.
    """
    quieten_lightning()
    trainer, hardware = parts.cfg.trainer, parts.hardware
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.nodes,
        strategy=hardware.strategy,
        precision=hardware.precision,
        # A run that had decided to stop has no epochs left.
        max_epochs=resumed.progress.epochs if resumed and resumed.progress.ended else trainer.max_epochs,
        check_val_every_n_epoch=trainer.validate_every,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpoints(), environment()],
        logger=False,
        profiler=plan.profiler,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the sampler shards by itself, and pads nothing
        default_root_dir=run_dir,
    )


def make_test_trainer(hardware: Hardware) -> L.Trainer:
    """Lightning's Trainer for a test alone: one process that trains nothing and writes nothing."""
    quieten_lightning()
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=hardware.precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def quieten_lightning() -> None:
    """Silence Lightning's advice on loaders, loggers and devices, which is about choices that are made here on
    purpose.
    """
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*compute.*method of metric.*")  # a rank without test examples
