"""A point's own checkpoints, as Lightning writes those of a single run: whatever takes one of a run takes these."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import LambdaLR

from trainlab.objective import weights_and_biases
from trainlab.optim import Schedule
from trainlab.recording.history import History, Throughput
from trainlab.recording.run_directory import BEST
from trainlab.survival.checkpoint import KEY, PREFIX, Progress, SaveBest
from trainlab.sweeps.stacked.member import Member, Snapshot, Standing

Rows = Sequence[Mapping[str, float]]


def checkpoint(member: Member, standing: Standing, at: Snapshot, rows: Rows, folder: Path) -> bytes:
    """The file of a checkpoint of the state `at`, last or best of `standing`. rows: all of the member's. folder: of its
    checkpoints.
    """
    file = io.BytesIO()
    torch.save(content(member, standing, at, rows[: at.epochs], folder), file)
    return file.getvalue()


def content(member: Member, standing: Standing, at: Snapshot, rows: Rows, folder: Path) -> dict[str, Any]:
    """What the checkpoint holds. rows: up to that state."""
    data = member.parts.data
    ends = standing.ended and at.epochs == len(standing.rows.values) < member.cfg.trainer.max_epochs
    optimizer, schedulers = optimizer_states(member, at)
    found = {
        "epoch": at.epochs - 1,
        "global_step": at.steps,
        "pytorch-lightning_version": L.__version__,
        "state_dict": OrderedDict((f"{PREFIX}{name}", weight.clone()) for name, weight in at.weights.items()),
        "loops": loops(at, -(-data.train_batches // data.steps_per_execution), validations(member, rows)),
        "callbacks": callbacks(member, standing, at, rows, folder),
        "optimizer_states": [optimizer],
        "lr_schedulers": schedulers,
        KEY: member.plan.facts.plain(),
    }
    if at.plateau is not None:
        found["plateau"] = at.plateau
    return found | {"progress": Progress(at.epochs, ended=ends).plain()}


def validations(member: Member, rows: Rows) -> int:
    """How many batches the last validation before that state had; 0 where there was none."""
    data = member.parts.data
    validated = any("val/loss" in row for row in rows)
    return len(data.val_dataloader()) if validated else 0


def optimizer_states(member: Member, at: Snapshot) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What torch's optimizer and scheduler of a single run say of themselves: options from these very classes."""
    net = member.parts.net
    optimizer = member.parts.make_optimizer(net)
    optim = member.cfg.optim
    schedule = Schedule(optim.schedule, optim.get("plateau_patience", 5), optim.get("plateau_drops"))
    scheduler = schedule.of(optimizer, member.cfg.trainer.max_epochs * member.parts.data.train_batches)
    base = optimizer.defaults["lr"]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * (at.lr / base)
    states = []
    if isinstance(scheduler, LambdaLR):
        factor = scheduler.lr_lambdas[0](at.steps)
        for group, rate in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = rate * factor
        scheduler.last_epoch, scheduler._step_count = at.steps, at.steps + 1
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
        states = [scheduler.state_dict()]
    state = optimizer.state_dict()
    if at.velocity is not None:
        names = {id(parameter): name for name, parameter in net.named_parameters()}
        order = [names[id(parameter)] for kind in weights_and_biases(net) for parameter in kind]
        state["state"] = {number: {"velocity": at.velocity[name].clone()} for number, name in enumerate(order)}
    return state, states


def callbacks(member: Member, standing: Standing, at: Snapshot, rows: Rows, folder: Path) -> dict[str, Any]:
    """What the callbacks of a single run say of themselves."""
    cfg = member.cfg
    monitor, target, patience = cfg.trainer.monitor, cfg.trainer.target, cfg.trainer.patience
    last = rows[-1]
    found: dict[str, Any] = {
        Throughput.state_key: {"images": int(last["images_seen"]), "seconds": last["training_seconds"]}
    }
    if target is not None or patience is not None:
        stopping = EarlyStopping(monitor, patience=patience or cfg.trainer.max_epochs + 1, stopping_threshold=target)
        stopping.wait_count, stopping.best_score = at.waited, torch.tensor(at.lowest, dtype=torch.float64)
        if standing.ended and at.epochs == len(standing.rows.values) < cfg.trainer.max_epochs:
            stopping.stopped_epoch = at.epochs - 1
        found[stopping.state_key] = stopping.state_dict()
    found[History.__qualname__] = {"rows": list(rows)}
    if standing.best is not None:
        best = SaveBest(folder, monitor)
        watched = [row[monitor] for row in rows if monitor in row]
        path, least = str(folder / BEST), torch.tensor(min(watched), dtype=torch.float64)
        best.best_model_path = best.kth_best_model_path = path
        best.best_model_score = best.kth_value = least
        best.best_k_models = {path: least}
        best.current_score = torch.tensor(watched[-1], dtype=torch.float64)
        best.dirpath = str(folder)
        found[best.state_key] = best.state_dict()
    return found


def loops(at: Snapshot, batches: int, validations: int) -> dict[str, Any]:
    """What Lightning's loops count. batches: that its training loop is given in an epoch; validations: of the last
    validation.
    """
    epochs = {"ready": at.epochs, "completed": at.epochs - 1, "started": at.epochs, "processed": at.epochs}
    none = {"total": counted(0), "current": counted(0)}
    idle = {"state_dict": {}, "batch_progress": {**none, "is_last_batch": False}}
    steps = {"ready": at.steps, "completed": at.steps}
    nothing = {"total": {"ready": 0, "completed": 0}, "current": {"ready": 0, "completed": 0}}
    validated = {"total": counted(validations), "current": counted(validations), "is_last_batch": validations > 0}
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": at.epochs * batches},
        "epoch_loop.batch_progress": {
            "total": counted(at.epochs * batches),
            "current": counted(batches),
            "is_last_batch": True,
        },
        "epoch_loop.scheduler_progress": nothing,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": nothing,
                "zero_grad": {part: {"ready": 0, "completed": 0, "started": 0} for part in ("total", "current")},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {"total": steps, "current": steps},
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": validated,
        "epoch_progress": {"total": epochs, "current": epochs},
    }
    return {
        "fit_loop": fit,
        "validate_loop": idle,
        "test_loop": idle,
        "predict_loop": {"state_dict": {}, "batch_progress": none},
    }


def counted(number: int) -> dict[str, int]:
    return {"ready": number, "completed": number, "started": number, "processed": number}
