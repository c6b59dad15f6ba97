"""A point's own checkpoints, as Lightning writes those of a single run: whatever takes one of a run takes these."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from trainlab.data.module import ImageData
from trainlab.objective import weights_and_biases
from trainlab.optim import Schedule, cosine
from trainlab.recording.history import History, Throughput
from trainlab.recording.run_directory import BEST
from trainlab.survival.checkpoint import KEY, PREFIX, Progress, SaveBest
from trainlab.sweeps.stacked.member import Member, MemberState, Snapshot

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Finished:
    """A member whose training has ended. plain: its configuration, resolved. rows: of every epoch."""

    member: Member
    state: MemberState
    plain: Mapping[str, Any]
    rows: Rows

    @property
    def steps(self) -> int:
        """The updates of the whole run."""
        return self.plain["trainer"]["max_epochs"] * self.member.parts.data.train_batches

    def ends_early(self, at: Snapshot) -> bool:
        """Whether the state is the last of a run that had decided to stop."""
        whole = at.epochs == len(self.rows) < self.plain["trainer"]["max_epochs"]
        return whole and self.state.ended and self.state.error is None


class Checkpoints:
    """Writes the checkpoints of a stack's members. What an optimizer says of its options is asked of a real one, once
    for those that differ in their numbers alone.
    """

    def __init__(self) -> None:
        self.options: dict[str, dict[str, Any]] = {}

    def file(self, point: Finished, at: Snapshot, folder: Path) -> bytes:
        """The file of a checkpoint of the state `at`, last or best. folder: of the point's checkpoints."""
        file = io.BytesIO()
        torch.save(self.content(point, at, folder), file)
        return file.getvalue()

    def content(self, point: Finished, at: Snapshot, folder: Path) -> dict[str, Any]:
        """What the checkpoint holds."""
        data = point.member.parts.data
        rows = point.rows[: at.epochs]
        optimizer, schedulers = self.optimizer_states(point, at)
        found = {
            "epoch": at.epochs - 1,
            "global_step": at.steps,
            "pytorch-lightning_version": L.__version__,
            "state_dict": OrderedDict((f"{PREFIX}{name}", weight.clone()) for name, weight in at.weights.items()),
            "loops": loops(at, -(-data.train_batches // data.steps_per_execution), validations(data, rows)),
            "callbacks": callbacks(point, at, rows, folder),
            "optimizer_states": [optimizer],
            "lr_schedulers": schedulers,
            KEY: dict(vars(point.member.plan.facts)),
        }
        if at.plateau is not None:
            found["plateau"] = at.plateau
        return found | {"progress": Progress(at.epochs, ended=point.ends_early(at)).plain()}

    def optimizer_states(self, point: Finished, at: Snapshot) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What torch's optimizer and scheduler of a single run say of themselves."""
        optim, net = point.plain["optim"], point.member.parts.net
        is_cosine = optim["schedule"] == "cosine"
        base = [optim["lr"], optim.get("bias_lr") or optim["lr"]]
        known = self.known(point)
        rates = [at.lr, at.lr * (base[1] / base[0])]
        if is_cosine:
            rates = [rate * cosine(at.steps, point.steps) for rate in base]
        groups = [
            {**group, "weight_decay": decay, "lr": lr, **({"initial_lr": first} if is_cosine else {})}
            for group, decay, lr, first in zip(
                known["param_groups"], (point.member.parts.l2.weight_decay, 0.0), rates, base, strict=True
            )
        ]
        state: dict[int, dict[str, Tensor]] = {}
        if at.velocity is not None:
            names = {id(parameter): name for name, parameter in net.named_parameters()}
            order = [names[id(parameter)] for kind in weights_and_biases(net) for parameter in kind]
            state = {number: {"velocity": at.velocity[name].clone()} for number, name in enumerate(order)}
        scheduler = {**known["scheduler"], "base_lrs": base, "last_epoch": at.steps, "_step_count": at.steps + 1}
        scheduler["_last_lr"] = rates
        return {"state": state, "param_groups": groups}, [scheduler] if is_cosine else []

    def known(self, point: Finished) -> dict[str, Any]:
        """What an optimizer and its scheduler say that is the same whatever their numbers."""
        optim = {name: value for name, value in point.plain["optim"].items() if name not in ("lr", "bias_lr")}
        key = json.dumps(optim)
        if key not in self.options:
            optimizer = point.member.parts.make_optimizer(point.member.parts.net)
            scheduler = Schedule("cosine").of(optimizer, 1) if optim["schedule"] == "cosine" else None
            groups = optimizer.state_dict()["param_groups"]
            self.options[key] = {"param_groups": groups, "scheduler": scheduler.state_dict() if scheduler else {}}
        return self.options[key]


def validations(data: ImageData, rows: Rows) -> int:
    """How many batches the last validation before that state had; 0 where there was none."""
    return len(data.val_dataloader()) if any("val/loss" in row for row in rows) else 0


def callbacks(point: Finished, at: Snapshot, rows: Rows, folder: Path) -> dict[str, Any]:
    """What the callbacks of a single run say of themselves."""
    trainer = point.plain["trainer"]
    monitor, target, patience = trainer["monitor"], trainer["target"], trainer["patience"]
    last = rows[-1]
    found: dict[str, Any] = {
        Throughput.state_key: {"images": int(last["images_seen"]), "seconds": last["training_seconds"]}
    }
    if target is not None or patience is not None:
        stopping = EarlyStopping(monitor, patience=patience or trainer["max_epochs"] + 1, stopping_threshold=target)
        stopping.wait_count, stopping.best_score = at.waited, torch.tensor(at.lowest, dtype=torch.float64)
        stopping.stopped_epoch = at.epochs - 1 if point.ends_early(at) else 0
        found[stopping.state_key] = stopping.state_dict()
    found[History.__qualname__] = {"rows": list(rows)}
    if point.state.best is not None:
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
    """What Lightning counts of a loop whose every turn came to its end."""
    return {"ready": number, "completed": number, "started": number, "processed": number}
